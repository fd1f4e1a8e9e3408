from __future__ import annotations

import os
import pty
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import Result
from tests.e2e.process import free_port


def test_without_anything_it_says_what_to_do(smallfirst: Callable[..., Result]) -> None:
    """No file and no Ollama: bad usage, with the cure."""
    result = smallfirst("serve", OLLAMA_HOST="127.0.0.1:1")
    assert result.code == 2
    assert "--config" in result.err


def test_a_bad_config_stops_it_before_it_listens(smallfirst: Callable[..., Result]) -> None:
    """With every problem, as `check` tells them."""
    Path("bad.yaml").write_text("servr: {}\n")
    result = smallfirst("serve", "--config", "bad.yaml")
    assert result.code == 2
    assert "bad.yaml:1: servr: unknown key" in result.err


def test_a_port_in_use_is_told_with_the_cure(smallfirst: Callable[..., Result]) -> None:
    """Before it becomes the gateway, whose server would only name the errno."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        Path("my.yaml").write_text(
            f"server: {{port: {port}}}\nbackends: {{one: {{kind: scripted, zone: local, model: m, price: unpriced}}}}"
        )
        result = smallfirst("serve", "--config", "my.yaml")
    assert result.code == 3
    assert f"127.0.0.1:{port} is in use" in result.err
    assert "SMALLFIRST_SERVER__PORT" in result.err


def test_whoever_looks_on_is_told_the_address(tmp_path: Path) -> None:
    """On a terminal, and before the first line of the log."""
    port = free_port()
    path = tmp_path / "my.yaml"
    path.write_text(
        f"server: {{port: {port}}}\nbackends: {{one: {{kind: scripted, zone: local, model: m, price: unpriced}}}}"
    )
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "app.cli", "serve", "--config", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    try:
        assert f"http://127.0.0.1:{port}/v1" in os.read(ours, 4096).decode()
    finally:
        process.kill()
        process.wait(10)
        os.close(ours)
