"""Tasks that every worker knows: ``http.request`` and ``penstock.replay``."""
