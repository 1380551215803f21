"""What a task notes is what is read, over all processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.machine import ROOT
from benchmarks.peers import effects
from benchmarks.peers.apps.effects import FOLDER_KEY, PAYLOAD_BYTES, RECORD, payload

NOTE = "import sys; from benchmarks.peers.apps.effects import note; [note(int(one)) for one in sys.argv[1:]]"


def note(folder: Path, *numbers: int) -> None:
    environment = os.environ | {FOLDER_KEY: str(folder), "PYTHONPATH": str(ROOT)}
    command = (sys.executable, "-c", NOTE, *map(str, numbers))
    subprocess.run(command, env=environment, check=True)


def test_starts_of_all_processes_are_read_by_job(tmp_path: Path) -> None:
    note(tmp_path, 1, 2)
    note(tmp_path, 2, 3)
    found = effects.read(tmp_path)
    assert {number: len(starts_ms) for number, starts_ms in found.items()} == {1: 1, 2: 2, 3: 1}
    assert found[1][0] <= found[3][0]


def test_a_torn_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "7.effects").write_bytes(RECORD.pack(1, 2)[:-1])
    with pytest.raises(ValueError, match=r"7\.effects ends within a record"):
        effects.read(tmp_path)


@pytest.mark.parametrize("number", [0, 9, 10, 123_456])
def test_every_payload_is_of_the_same_size(number: int) -> None:
    assert len(json.dumps(payload(number), separators=(",", ":"))) == PAYLOAD_BYTES
