from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.backends.llama import guard

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it")
# A parent that starts a guarded child, says its number, and then waits to be killed.
PARENT = """
import subprocess, sys, time
from app.backends.llama.guard import guarded
child = subprocess.Popen(guarded(["/bin/sh", "-c", "echo up; exec sleep 1000"]), stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(1000)
"""


@linux
def test_the_child_of_a_killed_parent_ends() -> None:
    """By the kernel: the parent has no moment left."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE)
    assert parent.stdout
    with parent.stdout:
        child = int(parent.stdout.readline())
        ended = os.pidfd_open(child)
        try:
            parent.kill()
            parent.wait()
            signalled, _, _ = select.select([ended], [], [], 10)
            assert signalled == [ended]
        finally:
            os.close(ended)


@linux
def test_without_its_parent_nothing_is_started(tmp_path: Path) -> None:
    """It may have ended before the kernel knew what to do."""
    left = tmp_path / "left"
    words = [sys.executable, "-I", "-S", guard.__file__, str(os.getpid() + 1), "/bin/sh", "-c", f"echo > {left}"]
    assert subprocess.run(words, check=False).returncode == 0
    assert not left.exists()


def test_the_program_itself_gets_its_words() -> None:
    """The guard becomes it: same process, all arguments, its exit code and signals."""
    done = subprocess.run(
        guard.guarded(["/bin/sh", "-c", 'echo "$1 $$"; kill -TERM $$', "sh", "a b"]),
        stdout=subprocess.PIPE,
        check=False,
    )
    assert done.stdout.startswith(b"a b ")
    assert done.returncode == -signal.SIGTERM
