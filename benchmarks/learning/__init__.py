"""Judges what is learned on recorded jobs, in strict order of time."""
