"""Models that are learned, and the plain ones they must beat."""
