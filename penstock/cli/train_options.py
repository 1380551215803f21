"""Options of ``penstock train``."""

from pathlib import Path
from typing import Annotated

import typer

from ports.training import Kind
from schemas.models import Purpose

TraceOption = Annotated[
    Path | None,
    typer.Option(
        "--from-trace",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="Learn from a recording (Google 2011 CSV, Standard Workload Format; packed or not) instead.",
    ),
]
KindOption = Annotated[
    Kind, typer.Option("--kind", help="Boosted trees, or one tree a head; of models that order jobs.")
]
PurposeOption = Annotated[
    Purpose, typer.Option("--purpose", help="What it is for: to order jobs, or to time retries.")
]
RowsOption = Annotated[
    int | None,
    typer.Option(
        "--rows",
        min=100,
        show_default="300000, or 50000 to time retries",
        help="Newest decisions to learn from.",
    ),
]
MemoryOption = Annotated[
    int, typer.Option("--memory-mb", min=256, help="What the process that trains may map.")
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Write the model there, and its manifest to FILE.json."),
]
PublishOption = Annotated[
    bool, typer.Option("--publish/--dry-run", help="Publish it, or only say how good it is.")
]
PromoteOption = Annotated[
    bool, typer.Option("--promote", help="Publish it, and put it in force if its verdict allows that.")
]
