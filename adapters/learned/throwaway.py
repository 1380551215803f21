"""The throwaway process in which a model is tried: it may crash, and nothing else does.

Reads a packed model from its standard input, and writes what it predicts of the probe to its standard output.
The limits hold before anything of the model is looked at.
"""

import resource
import sys

import msgspec

from adapters.learned.trial_terms import Limits

MIB = 1024 * 1024


def confine(limits: Limits) -> None:
    """Limit this process for good: memory, CPU, no files, no core dump."""
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_mib * MIB,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s,) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Try the model on the standard input out."""
    confine(msgspec.json.decode(sys.argv[1], type=Limits))
    # Only now: what the libraries take counts, and nobody else has to have them.
    from adapters.learned.trial import tried  # noqa: PLC0415 - the limits come first

    sys.stdout.buffer.write(msgspec.json.encode(tried(sys.stdin.buffer.read())))


if __name__ == "__main__":
    main()
