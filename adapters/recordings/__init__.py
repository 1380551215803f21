"""Recorded workloads: their formats, as columns, and replayed into features."""
