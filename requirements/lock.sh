#!/usr/bin/env bash
# Locks every environment with hashes and without addresses. Run by `make lock`.
# dev is solved first and constrains runtime, so that the two never disagree on a version.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() { "${UV:-.venv/bin/uv}" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate "$@"; }
compile requirements/bootstrap.in -o requirements/bootstrap.txt
compile --extra embedded pyproject.toml requirements/dev.in -o requirements/dev.txt
compile --extra embedded pyproject.toml requirements/build.in -c requirements/dev.txt -o requirements/runtime.txt
# The peers of `make bench-peers` have an environment of their own, which agrees with nothing.
compile benchmarks/peers/requirements.in -o benchmarks/peers/requirements.txt
