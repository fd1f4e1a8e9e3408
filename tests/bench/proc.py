"""What the kernel says of a process and all its descendants, and how fast a core is right now. Linux only."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

REFERENCE_SPIN = 0.010  # CPU seconds of `spin` on a quiet core: figures read as if every segment ran at that speed
Used = Mapping[str, int]  # nanoseconds of CPU by thread


def parent(stat: str) -> int:
    """From /proc/PID/stat, where the name in brackets may itself hold brackets and blanks."""
    return int(stat.rpartition(")")[2].split()[1])


def tree(pid: int) -> list[int]:
    """`pid` and all that descend from it."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        if stat := _text(path):
            children.setdefault(parent(stat), []).append(int(path.parent.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def cpu(pids: Iterable[int]) -> Used:
    """User and system time of each thread so far. schedstat counts nanoseconds, stat only ticks of 10 ms."""
    paths = [path for pid in pids for path in Path(f"/proc/{pid}/task").glob("*/schedstat")]
    return {path.parent.name: int(text.split()[0]) for path in paths if (text := _text(path))}


def seconds_between(before: Used, after: Used) -> float:
    """What was used in between; a thread that ended meanwhile is left out."""
    return sum(used - before.get(thread, 0) for thread, used in after.items()) / 1e9


def rss_mb(pids: Iterable[int]) -> float:
    return sum(resident_kb(_text(Path(f"/proc/{pid}/status"))) for pid in pids) / 1024


def resident_kb(status: str) -> int:
    """From /proc/PID/status; nothing of a process that is gone."""
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")), 0)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it ended since it was listed
        return ""


@contextmanager
def on(cores: set[int]) -> Iterator[None]:
    """This thread, and whatever it starts meanwhile, on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def spin() -> float:
    """CPU seconds of a fixed loop: a yardstick, as neighbours slow a core down."""
    start, total = time.thread_time(), 0
    for number in range(300_000):
        total += number * number
    return time.thread_time() - start


def scaled(measured: float, *spins: float) -> float:
    """`measured`, as it would be on a core on which `spin` takes REFERENCE_SPIN."""
    return measured * REFERENCE_SPIN * len(spins) / sum(spins)
