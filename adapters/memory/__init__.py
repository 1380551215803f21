"""The log in memory, for tests: the same ports, an injected clock, and faults on request."""
