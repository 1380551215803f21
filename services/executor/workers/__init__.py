"""The executor's worker processes: user code runs in them, never in the service."""
