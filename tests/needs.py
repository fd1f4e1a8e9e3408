"""What a test needs beside the locked environment: absent on a laptop it skips and says the cure, in CI it fails.

Loaded as a plugin by conftest.py, so that a run ends with one line that names everything to install.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

_MARK = "to run this: "


def program(path: Path, install: str, environ: Mapping[str, str] = os.environ) -> Path:
    """`path` if it is there. Otherwise skips, naming the command `install`; fails when CI=true."""
    if path.exists():
        return path
    message = f"{path} is missing; {_MARK}{install}"
    if environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def cures(reasons: list[str]) -> list[str]:
    """Each `install` once, in the order first met."""
    return list(dict.fromkeys(reason.partition(_MARK)[2] for reason in reasons if _MARK in reason))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    wanted = cures([report.longrepr[2] for report in skipped if isinstance(report.longrepr, tuple)])
    if wanted:
        terminalreporter.line(f"skipped for want of something; to run all: {'; '.join(wanted)}")
