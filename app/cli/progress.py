"""A progress bar on stderr for work that takes minutes; plain lines where nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Tell = Callable[[str, int, int], None]  # what is done, how much of it, of how much


@contextmanager
def progress(what: str) -> Iterator[Tell]:
    """Gives a function to call at each step."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda step, done, total: print(f"{what}: {step} ({done}/{total})", file=sys.stderr, flush=True)
        return
    columns = (TextColumn("{task.fields[what]}"), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", what=what, total=None)
        yield lambda step, done, total: bar.update(task, description=step, completed=done, total=total)
