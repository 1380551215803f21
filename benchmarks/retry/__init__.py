"""Judges retry policies on recorded failures, in strict order of time."""
