"""One question per service, in topic order; they meet only on topics."""
