"""What is read from /proc, on text made by hand and on a process of our own."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from tests.bench import proc


def test_parent() -> None:
    """A name may hold what separates the fields."""
    assert proc.parent("12 (a) (b c)) S 7 12 12 0 -1 4194560 1 0") == 7


def test_resident() -> None:
    """In kB; a process that has just ended has no status, one that waits to be collected no such line."""
    assert proc.resident_kb("VmPeak:\t 900 kB\nVmRSS:\t  512 kB\nThreads:\t1\n") == 512
    assert proc.resident_kb("State:\tZ (zombie)\n") == proc.resident_kb("") == 0


def test_time_between() -> None:
    """Threads may come and go."""
    before = {"1": 1_000_000_000, "2": 5_000_000_000}
    assert proc.seconds_between(before, {"1": 1_500_000_000, "3": 250_000_000}) == pytest.approx(0.75)


def test_scaling() -> None:
    """On a core half as fast as the reference a figure halves; the spins before and after count alike."""
    assert proc.scaled(500, 0.020) == pytest.approx(250)
    assert proc.scaled(500, 0.010, 0.030) == pytest.approx(250)


def test_a_busy_child() -> None:
    """A grandchild that computes is in the tree, and its time and memory are counted."""
    busy = "import sys; x = bytearray(30_000_000); print(flush=True)\nfor line in sys.stdin: sum(range(3_000_000))"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}])"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin
        assert child.stdout
        child.stdout.readline()
        pids = proc.tree(child.pid)
        before = proc.cpu(pids)
        child.stdin.write(b"work\n")
        child.stdin.flush()
        for _ in range(500):
            if proc.seconds_between(before, proc.cpu(pids)) > 0.01:
                break
            time.sleep(0.01)
        used, memory = proc.seconds_between(before, proc.cpu(pids)), proc.rss_mb(pids)
        child.stdin.close()
    assert pids[0] == child.pid
    assert len(pids) == 2
    assert used > 0.01
    assert memory > 30


def test_pinning_ends() -> None:
    """Also when what was pinned fails."""
    before = os.sched_getaffinity(0)

    def fail() -> None:
        with proc.on({min(before)}):
            raise LookupError(os.sched_getaffinity(0))

    with pytest.raises(LookupError) as raised:
        fail()
    assert raised.value.args == ({min(before)},)
    assert os.sched_getaffinity(0) == before
