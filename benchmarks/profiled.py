"""Runs one service under cProfile: ``python -m benchmarks.profiled SERVICE FILE``."""

import cProfile
import runpy
import sys
import time
from importlib import import_module


def main(service: str, file: str) -> None:
    """Run the service to its end, then write the profile; the service's exit code stays.

    Counted is CPU time, so that waiting and being preempted cost nothing; imports are done before.
    """
    for room in ("settings", "wiring"):
        import_module(f"services.{service}.{room}")
    profile = cProfile.Profile(time.process_time)
    try:
        profile.runcall(runpy.run_module, f"services.{service}", run_name="__main__", alter_sys=True)
    finally:
        profile.dump_stats(file)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
