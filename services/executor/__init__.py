"""Executor: run it."""
