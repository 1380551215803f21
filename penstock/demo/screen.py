"""Where a run shows itself: a live panel on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.markup import escape

from adapters.embedded.state import Step
from penstock.demo.view import Snapshot, line, panel

PLAIN_EVERY_S = 5.0
"""Between two lines where there is no terminal."""


class Screen:
    """Progress for a person; the result goes elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._last_line_s = float("-inf")

    def step(self, step: Step) -> None:
        """Show one step of the pipeline's start."""
        if step.problem:
            self._console.print(f"[red]✗[/] {escape(step.what)}: {escape(step.problem)}")
        else:
            self._console.print(f"[green]✓[/] {escape(step.what)} [dim]({step.took_s:.1f} s)[/]")

    def say(self, text: str) -> None:
        """Show one sentence."""
        self._console.print(f"[dim]{escape(text)}[/]")

    @contextmanager
    def live(self) -> Iterator[None]:
        """Draw snapshots in place for the life of the block, where there is a terminal."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, auto_refresh=False) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def show(self, snapshot: Snapshot) -> None:
        """Show where the run stands."""
        if self._live is not None:
            self._live.update(panel(snapshot), refresh=True)
            return
        now_s = time.monotonic()
        if now_s - self._last_line_s >= PLAIN_EVERY_S:
            self._last_line_s = now_s
            self._console.print(line(snapshot), markup=False, highlight=False, soft_wrap=True)
