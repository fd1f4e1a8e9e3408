"""The demo on llama.cpp's own server: its tokens and times are real, and so is what becomes of it at the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli.demo.real import LONGEST
from tests.backends.llama.fake_server import lives
from tests.real import build

pytestmark = [pytest.mark.real, pytest.mark.timeout(700)]


def environ(folder: Path) -> dict[str, str]:
    """The server is on PATH, and no Ollama is asked."""
    programs = folder / "bin"
    programs.mkdir()
    (programs / "llama-server").symlink_to(build.server())
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "XDG_STATE_HOME": str(folder), "OLLAMA_HOST": "127.0.0.1:9"}


def servers(folder: Path) -> list[int]:
    """Process ids that run the program of this test."""
    found = []
    for path in Path("/proc").glob("[0-9]*/exe"):
        try:
            words = (path.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in words and b"llama-server" in words:
            found.append(int(path.parent.name))
    return found


def test_one_run_as_json(model: Path, tmp_path: Path) -> None:
    """All answered, by whom the router chose; tokens, seconds and pace of the real one; the books agree; it is gone."""
    words = [sys.executable, "-m", "app.cli", "demo", "--real", "--once", "--json", "--model", str(model)]
    done = subprocess.run(words, env=environ(tmp_path), capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = json.loads(done.stdout)
    assert shown["requests"] == shown["complete"] == 2 * len(shown["kinds"])
    assert (shown["failed"], shown["reconciled"]) == (0, True)
    real = shown["real"]
    assert (real["server"], real["model"]) == ("llama-server", model.stem)
    assert real["answers"] == sum(kind["tiers"].get("slm", 0) for kind in shown["kinds"].values())
    assert 0 < real["answers"] < shown["requests"]
    assert shown["llm_share"] > 0
    assert real["answers"] < real["output_tokens"] <= real["answers"] * LONGEST
    assert real["seconds"] > 0
    assert real["tokens_per_second"] > 0
    assert shown["kinds"]["over-long"]["tiers"] == {"llm": 2}
    assert "simulated_hours" not in shown
    assert f"The small model is real: {model.stem} by llama-server. The large one is scripted." in done.stderr
    assert servers(tmp_path) == []


def test_ctrl_c_ends_the_server_too(model: Path, tmp_path: Path) -> None:
    """In the middle of it: no traceback, and nothing stays."""
    words = [sys.executable, "-m", "app.cli", "demo", "--real", "--model", str(model)]
    with subprocess.Popen(
        words, env=environ(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr
            while "loads its model" not in (line := process.stderr.readline()):
                assert line
            started = servers(tmp_path)
            process.send_signal(signal.SIGINT)
            out, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert "Traceback" not in out + errors
    assert started
    assert not any(lives(pid) for pid in started)
