"""One file a change, in order of date."""
