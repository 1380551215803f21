"""The stream framework."""
