"""What a person sees while the graph runs: a line per finished stage, and what runs now."""

from __future__ import annotations

import threading
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

MARKS = {"ran": "[green]done[/]", "unchanged": "[dim]same[/]", "restored": "[cyan]kept[/]", "failed": "[red]FAIL[/]"}


class ProgressBoard:
    """Live on a terminal; plain lines where the output goes to a file."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[said]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._stages: dict[str, TaskID] = {}
        self._all = self._progress.add_task("all stages", total=0, said="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def expect(self, n_stages: int) -> None:
        """So many more stages will end."""
        total = self._progress.tasks[0].total or 0
        self._progress.update(self._all, total=total + n_stages)

    def started(self, stage: str) -> None:
        with self._lock:
            self._stages[stage] = self._progress.add_task(stage, total=1, said="")

    def said(self, stage: str, line: str) -> None:
        if line.strip():
            self._progress.update(self._stages[stage], said=escape(line.strip()[:80]))

    def ended(self, stage: str, how: str, seconds: float) -> None:
        with self._lock:
            self._progress.remove_task(self._stages.pop(stage))
            self._progress.advance(self._all)
        self._console.print(f"{MARKS[how]} {stage} [dim]{seconds:.1f} s[/]", highlight=False)
