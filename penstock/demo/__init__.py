"""``penstock demo``: jobs through the whole pipeline, and a verification that can fail."""
