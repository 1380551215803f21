"""The earlier version's code in processes of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.rig.old_code import OldCode
from tests.chaos.rig.tools import Tool, why_missing

pytestmark = pytest.mark.skipif(why_missing(Tool.HISTORY) is not None, reason=str(why_missing(Tool.HISTORY)))

PROGRAM = "import services.ingest.wiring as found; print(found.__file__, flush=True); input()"


def test_a_process_imports_the_old_packages_and_it_can_be_seen_that_it_did(tmp_path: Path) -> None:
    old = OldCode(tmp_path / "old")
    assert not old.was_imported("ingest")
    with subprocess.Popen(
        (sys.executable, "-P", "-c", PROGRAM),
        env={**os.environ, **old.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        assert program.stdout.readline().strip() == str(tmp_path / "old/services/ingest/wiring.py")
        assert old.is_for(program.pid)
        program.kill()
    assert old.was_imported("ingest")
    assert not old.is_for(os.getpid())
    old.forget_imports("ingest")
    assert not old.was_imported("ingest")
