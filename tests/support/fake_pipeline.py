"""A supervisor of stand-in services on given addresses: ``python -m tests.support.fake_pipeline DIR``."""

import os
import sys
from pathlib import Path

from adapters.embedded.__main__ import ready, report
from adapters.embedded.home import HomeInUseError
from adapters.embedded.plan import Plan, module_command
from adapters.embedded.supervisor import supervise
from core.services import ServiceSpec

FAKES = (ServiceSpec("first", "", 1), ServiceSpec("second", "", 2))


def main() -> int:
    plan = Plan(
        Path(sys.argv[1]),
        os.environ,
        services=FAKES,
        prepare=(sys.executable, "-c", os.environ.get("FAKE_PREPARE", "")),
        command=lambda _: module_command("tests.support.fake_service"),
    )
    try:
        return supervise(plan, report, ready)
    except HomeInUseError as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
