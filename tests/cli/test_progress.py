"""Progress is a bar for who watches, and lines for who does not."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout

from app.cli.progress import progress


class Terminal(io.StringIO):
    """A stream that somebody watches."""

    def isatty(self) -> bool:
        return True


def shown(err: io.StringIO) -> str:
    """What appears on stderr of three steps of four; nothing may appear on stdout."""
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), progress("train") as tell:
        for done, step in enumerate(("features", "fold 1", "fold 2"), 1):
            tell(step, done, 4)
    assert out.getvalue() == ""
    return err.getvalue()


def test_lines_where_nobody_watches() -> None:
    """One a step, with how much of how much is done, and no control characters in a log."""
    assert shown(io.StringIO()).splitlines() == [
        "train: features (1/4)",
        "train: fold 1 (2/4)",
        "train: fold 2 (3/4)",
    ]


def test_a_bar_on_a_terminal() -> None:
    """It is drawn over itself and ends with the last step."""
    drawn = shown(Terminal())
    assert "\x1b[" in drawn
    assert "fold 2" in drawn
    assert "train" in drawn
