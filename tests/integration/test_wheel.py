"""The built wheel, installed outside the source tree, is the whole of Penstock."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 240

WHERE = """
import importlib, json, sys
names = ["core.ledger.fold", "schemas.topics", "ports.log", "adapters.prepare", "adapters.postgres.migrate",
         "services.executor.wiring", "penstock", "penstock.cli.main"]
json.dump({name: importlib.import_module(name).__file__ for name in names}, sys.stdout)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel; its dependencies are those of this one."""
    directory = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory), cwd=ROOT)
    (wheel,) = directory.glob("penstock-*.whl")
    environment = directory / "venv"
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    uv = Path(sys.executable).parent / "uv"
    run(
        str(uv),
        "pip",
        "install",
        "--offline",
        "--no-deps",
        "--python",
        str(python),
        str(wheel),
        cwd=directory,
    )
    # The dependencies stay where they are; a plain path line follows what the wheel brought, so the
    # source tree of an editable installation is not on the path.
    (site,) = environment.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return python


def run(*command: str, cwd: Path, timeout_s: float = TIMEOUT_S) -> str:
    own = {"PENSTOCK_KAFKA_BOOTSTRAP", "PENSTOCK_DATABASE_URL", "PYTHONPATH"}
    environment = {key: value for key, value in os.environ.items() if key not in own}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_everything_is_imported_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    found = json.loads(run(str(installed), "-P", "-c", WHERE, cwd=tmp_path))
    assert all(Path(file).is_relative_to(installed.parents[1]) for file in found.values()), found


def test_the_command_is_there(installed: Path, tmp_path: Path) -> None:
    assert run(str(installed.with_name("penstock")), "--version", cwd=tmp_path).startswith("penstock ")


@pytest.mark.timeout(TIMEOUT_S)
def test_a_small_demo_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    penstock = str(installed.with_name("penstock"))
    said = json.loads(run(penstock, "demo", "--jobs", "20", "--json", "--data", "here", cwd=tmp_path))
    assert said["verified"]
    assert said["succeeded"] + said["dead"] == 20
