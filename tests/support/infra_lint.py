"""Checks ``infra/`` where no container engine answers: ``python -m tests.support.infra_lint``."""

import subprocess
import sys
from pathlib import Path

import yaml

from tests.support.compose_rules import compose_findings
from tests.support.dockerfile_rules import dockerfile_findings

ROOT = Path(__file__).resolve().parents[2]
_YAML_STYLE = "{extends: default, rules: {line-length: {max: 140}, document-start: disable}}"


def findings(root: Path = ROOT) -> list[str]:
    """Say everything that is wrong with the files of ``infra/``."""
    infra = root / "infra"
    path = infra / "docker-compose.yml"
    style = subprocess.run(
        (sys.executable, "-m", "yamllint", "--format", "parsable", "-d", _YAML_STYLE, str(path)),
        check=False,
        capture_output=True,
        text=True,
    )
    if style.returncode:
        return (style.stdout + style.stderr).splitlines()
    text = path.read_text()
    compose = compose_findings(yaml.safe_load(text), text, (infra / ".env.example").read_text())
    image = dockerfile_findings((infra / "Dockerfile").read_text(), root)
    return [f"docker-compose.yml: {one}" for one in compose] + [f"Dockerfile: {one}" for one in image]


def main() -> int:
    """Print the findings; exit code 1 when there are any."""
    found = findings()
    for one in found:
        sys.stderr.write(f"{one}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
