"""Summaries of dead jobs: by a model that is asked over HTTP, or from the words of their errors."""
