"""The worker process: runs user code, many jobs at once, and imports nothing of ours but ``penstock``."""
