"""Becomes the program that it is given, after asking the kernel to kill that when the gateway ends, however it ends.

A file to run by its path: guard.py PARENT PROGRAM ARGUMENTS... It costs some milliseconds and leaves nothing behind.
Only Linux has this; elsewhere a gateway that is killed by SIGKILL leaves its servers running.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1


def main(parent: str, program: str, *arguments: str) -> None:
    """`parent` is the gateway's process id: if it ended before the kernel knew, nothing is started at all."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == int(parent):
        os.execv(program, [program, *arguments])


def guarded(command: list[str]) -> list[str]:
    """The words that start `command` so that it ends with this process."""
    if sys.platform != "linux":
        return command
    return [sys.executable, "-I", "-S", str(Path(__file__)), str(os.getpid()), *command]


if __name__ == "__main__":
    main(*sys.argv[1:])
