"""Ingest: is it valid."""
