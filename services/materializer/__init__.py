"""The materializer: what happened."""
