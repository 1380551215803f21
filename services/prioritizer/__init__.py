"""Prioritizer: how soon, and how likely is it to fail."""
