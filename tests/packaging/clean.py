"""Commands in surroundings that have nothing of this checkout: their own environment, no HOME, nothing to write to."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests import needs

ROOT = Path(__file__).parent.parent.parent
BASE = Path(sys.base_prefix) / "bin/python3"  # the interpreter without an environment


def uv() -> Path:
    return needs.program(ROOT / ".uv/bin/uv", "make setup")


def run(words: Sequence[str | Path], cwd: Path, environ: Mapping[str, str] | None = None) -> str:
    """What it printed on stdout. `environ` None: ours, without what says where our own environment is."""
    given = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"} if environ is None else environ
    done = subprocess.run(words, cwd=cwd, env=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def powerless() -> list[str | Path]:
    """What goes before a command so that it cannot write to write-protected files, also if we are root."""
    if os.geteuid() != 0:
        return []
    setpriv = needs.program(Path(shutil.which("setpriv") or "/usr/bin/setpriv"), "apt-get install util-linux")
    return [setpriv, "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]


def protect(top: Path) -> None:
    """Nobody may write to anything under `top`."""
    for path in [top, *top.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~0o222)


def release(top: Path) -> None:
    """So that it can be deleted."""
    for path in [top, *top.rglob("*")]:
        if path.is_dir() and not path.is_symlink():
            path.chmod(path.stat().st_mode | 0o200)


def files(top: Path) -> dict[str, tuple[int, int]]:
    """Size and time of each file."""
    return {
        str(path.relative_to(top)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in top.rglob("*")
        if path.is_file()
    }
