"""The day: everybody comes in office hours, hard work in its sittings, and every time the same."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

from app.cli.demo.day import END, START, arrivals, midnight
from app.cli.demo.requests import load

REQUESTS = load()
DAY = arrivals(REQUESTS)


def test_everybody_comes_once_and_in_order() -> None:
    """Between nine and half past four, so that the endpoint sleeps before the day is counted."""
    assert sorted(one.number for one in DAY) == list(range(len(REQUESTS)))
    assert [one.at for one in DAY] == sorted(one.at for one in DAY)
    assert DAY[0].at >= START
    assert DAY[-1].at <= END - 1800


def test_the_same_day_every_time() -> None:
    """Nothing of it is left to chance."""
    assert arrivals(REQUESTS) == DAY
    assert arrivals(REQUESTS, seed=1) != DAY


def test_some_come_in_bursts() -> None:
    """Within seconds of each other, so that somebody waits for the small model."""
    gaps = [later.at - one.at for one, later in pairwise(DAY)]
    assert sum(gap < 3 for gap in gaps) > len(DAY) / 10


def test_a_few_leave_a_stream() -> None:
    """Only who sees words come can go away while they do."""
    leavers = [one for one in DAY if one.leaves]
    assert len(leavers) == 4
    assert all(one.request.stream for one in leavers)


def test_midnight_is_one() -> None:
    """The clock of the demo begins at a full day."""
    assert datetime.fromtimestamp(midnight(), UTC).time().isoformat() == "00:00:00"
