"""The closed sets and the clamp that holds everything else out."""

from __future__ import annotations

import pytest

from app import errors
from app.telemetry import closed
from app.telemetry.closed import clamp


def test_every_error_kind_is_known() -> None:
    """The sets follow the tree of errors; what we turn away is told by the kinds of our own faults."""
    kinds = {error.kind for error in vars(errors).values() if isinstance(error, type) and hasattr(error, "kind")}
    assert kinds == closed.ERRORS
    assert {"saturated", "deadline", "no-backend"} == closed.SHED


@pytest.mark.parametrize(("word", "shown"), [("ok", "ok"), (None, "none"), ("What is 2+2?", "other"), ("", "other")])
def test_clamp(word: str | None, shown: str) -> None:
    """Words of the set pass, nothing is "none", all else is "other"."""
    assert clamp(word, closed.OUTCOMES) == shown
