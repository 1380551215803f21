"""The same workloads on Penstock and on other job systems, in one run: ``python -m benchmarks.peers``."""
