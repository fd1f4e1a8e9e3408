"""What a server prints goes into a file that it writes itself: no byte of it passes through the gateway.

The file is cut from time to time: its newest half stays. What is printed in the moment of the cut may be lost.
"""

from __future__ import annotations

import os
from pathlib import Path

from app.backends.llama.launch import Cannot

LIMIT = 4 * 1024 * 1024  # bytes


def opened(path: Path) -> int:
    """A descriptor that appends. Raises Cannot."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Cannot(
            f"the log of llama-server, {path}, cannot be written ({error.strerror}): "
            "set XDG_STATE_HOME to a folder that can"
        ) from None


def cut(path: Path, limit: int = LIMIT) -> None:
    """Take the oldest lines off if it is longer than `limit`; whoever appends to it goes on."""
    try:
        size = path.stat().st_size
        if size <= limit:
            return
        with path.open("rb") as old:
            old.seek(size - limit // 2)
            kept = old.read()
        with path.open("ab") as file:
            file.truncate(0)
            file.write(kept[kept.find(b"\n") + 1 :])
    except OSError:  # somebody took it away, or the disk is full: no reason to stop serving
        return
