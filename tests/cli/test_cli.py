from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

from tests.cli.conftest import Result

Run = Callable[..., Result]


def test_help_names_every_command(smallfirst: Run) -> None:
    """Each command is listed with its first line."""
    result = smallfirst("--help")
    assert result.code == 0
    for command in ("serve", "init", "check", "route"):
        assert command in result.out


def test_help_imports_nothing_heavy() -> None:
    """What a command needs is imported when it runs, so that help is there at once."""
    code = "import sys, app.cli; print([m for m in ('pydantic', 'httpx', 'numpy', 'fastapi') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
