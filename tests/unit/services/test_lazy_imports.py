"""What services load at their start: nobody pays for models who has none."""

import json
import subprocess
import sys

from core.services import SERVICES

LARGE = ("numpy", "scipy", "xgboost", "pandas")
OF_MODELS = {"trainer"}
"""Works with all of them."""


def loaded_by(*services: str) -> set[str]:
    """Give the large ones that a process has which imports these services."""
    imports = "".join(f"import services.{service}.wiring\n" for service in services)
    program = f"import sys, json\n{imports}json.dump([m for m in {LARGE} if m in sys.modules], sys.stdout)"
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(said.stdout))


def test_a_service_without_a_model_has_not_loaded_what_models_need() -> None:
    names = {spec.name for spec in SERVICES} - OF_MODELS
    assert loaded_by(*sorted(names - {"prioritizer"})) == set()
    assert loaded_by("prioritizer") == {"numpy"}
