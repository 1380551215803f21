"""What must be true of ``infra/Dockerfile``."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Instruction(NamedTuple):
    """One instruction, its continuation lines joined."""

    line: int
    name: str
    argument: str


def instructions(text: str) -> list[Instruction]:
    """Split a Dockerfile; comments and empty lines go."""
    found: list[Instruction] = []
    words, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        start = start if words else number
        words += line.strip()
        if words.endswith("\\"):
            words = words[:-1]
            continue
        name, _, argument = words.partition(" ")
        found.append(Instruction(start, name.upper(), argument.strip()))
        words = ""
    return found


def dockerfile_findings(text: str, context: Path) -> list[str]:
    """Say everything that is wrong; nothing wrong is an empty list."""
    found = instructions(text)
    starts = [i for i, one in enumerate(found) if one.name == "FROM"]
    if len(starts) < 2:
        return ["one stage only: what builds the image would be shipped in it"]
    last = found[starts[-1] :]
    return [
        f"line {line}: {problem}"
        for line, problem in [*_sources(found, context), *_commands(found), *_final_stage(last)]
    ]


def _sources(found: list[Instruction], context: Path) -> Iterator[tuple[int, str]]:
    stages: set[str] = set()
    for line, name, argument in found:
        if name == "FROM":
            image, *alias = re.split(r"\s+AS\s+", argument, flags=re.IGNORECASE)
            if image not in stages and (":" not in image or image.endswith(":latest")):
                yield line, f"{image} is not pinned to a version"
            stages |= set(alias)
        elif name == "ADD":
            yield line, "ADD unpacks and downloads; use COPY"
        elif name == "COPY":
            yield from _copied(line, argument.split(), stages, context)


def _copied(line: int, words: list[str], stages: set[str], context: Path) -> Iterator[tuple[int, str]]:
    options = [word for word in words if word.startswith("--")]
    stage = next((word.removeprefix("--from=") for word in options if word.startswith("--from=")), None)
    if stage is not None:
        if stage not in stages:
            yield line, f"copies from {stage}, which is no stage above"
        return
    for source in words[len(options) : -1]:
        if not (context / source).exists():
            yield line, f"copies {source}, which does not exist"


def _commands(found: list[Instruction]) -> Iterator[tuple[int, str]]:
    for line, name, argument in found:
        if name in ("CMD", "ENTRYPOINT") and not _is_exec_form(argument):
            yield line, f"{name} runs through a shell, which keeps the stop signal to itself"
        if name != "RUN":
            continue
        for command in argument.split("&&"):
            safe = "--require-hashes" in command or "--no-deps" in command
            if "pip install" in command and not safe:
                yield line, "pip install without --require-hashes"
            if "sudo " in command or "apt-get upgrade" in command:
                yield line, f"not in an image: {command.strip()}"


def _final_stage(last: list[Instruction]) -> Iterator[tuple[int, str]]:
    start = last[0].line
    users = [one.argument for one in last if one.name == "USER"]
    if not users or users[-1].split(":")[0] in ("root", "0"):
        yield start, "the final stage runs as root"
    if not any(one.name == "HEALTHCHECK" and "/readyz" in one.argument for one in last):
        yield start, "no HEALTHCHECK that asks /readyz"
    if not any(one.name in ("CMD", "ENTRYPOINT") for one in last):
        yield start, "nothing to run"


def _is_exec_form(argument: str) -> bool:
    try:
        return isinstance(json.loads(argument), list)
    except ValueError:
        return False
