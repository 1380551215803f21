"""Which failure it is: what varies is masked, what masks miss is merged, and the name stays."""
