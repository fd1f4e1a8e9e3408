"""The benchmark from end to end, tiny; and that it does not take a wrong answer for a fast one."""

from __future__ import annotations

import contextlib
import os
import socketserver
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import gateway, load, proc, targets, upstream
from tests.bench.figures import Measured
from tests.bench.gateway import Plan
from tests.bench.load import Load
from tests.bench.targets import Target
from tests.e2e.process import free_port
from tests.serving import on_a_thread

TINY = Plan(rounds=1, seconds=0.1, soak=60, peer_soak_seconds=0.1, warm=16, warm_seconds=0.1, chunks=5)


def test_a_tiny_run(capsys: pytest.CaptureFixture[str]) -> None:
    """All that is here is measured, every answer is right, and no process stays."""
    before = set(proc.tree(os.getpid()))
    assert gateway.main(["--quick"], TINY) == 0, capsys.readouterr().err
    assert set(proc.tree(os.getpid())) <= before
    command, _, about, _, _, _, head, _, *rows = capsys.readouterr().out.splitlines()
    assert command == "    python -m tests.bench --quick"
    assert "smallfirst 0." in about
    names = [name.strip() for name in head.split("|")[2:-1]]
    assert names[0] == "direct"
    assert {"smallfirst", "smallfirst + records"} < set(names)
    table = {row.split("|")[1].strip(): dict(zip(names, row.split("|")[2:-1], strict=False)) for row in rows if row}
    for figure in ("CPU us per JSON request, 64 at once", "CPU us per streamed chunk, 16 at once"):
        assert number(table[figure]["smallfirst"]) > 5, figure  # a process that does anything takes as much
    assert 20 < number(table["RSS MB after the soak"]["smallfirst"]) < 500
    assert table["requests in the soak"]["smallfirst"].strip() == "60"
    assert {cell.strip() for cell in table["wrong answers"].values()} == {"0"}


def number(cell: str) -> float:
    return float(cell.split()[0].replace(",", ""))


def test_wrong_answers_fail_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 1 and which they were, however good the figures."""
    assert gateway.main([], measure=lambda *_: (Measured([], [], [], {}), [], ["nginx: 3 errors"])) == 1
    assert "nginx: 3 errors" in capsys.readouterr().err


def test_a_target_that_does_not_start(tmp_path: Path) -> None:
    """Its own last words are told, and at once."""
    target = Target("lame", free_port(), [sys.executable, "-c", "print('no licence')"], "")
    with pytest.raises(RuntimeError, match="no licence"), targets.running(target, tmp_path):
        pass


def test_a_target_that_will_not_end(tmp_path: Path) -> None:
    """One that ignores SIGTERM is killed, and so is its child."""
    path = Path(upstream.__file__)
    code = f"""
import os, runpy, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork(): signal.pause()
sys.argv = ["", sys.argv[1]]
runpy.run_path({str(path)!r}, run_name="__main__")
"""
    port = free_port()
    stubborn = Target("stubborn", port, [sys.executable, "-c", code, str(port)], "")
    with targets.running(stubborn, tmp_path, grace=0.2) as pid:
        pids = proc.tree(pid)
    assert len(pids) == 2
    assert load.run(port, {}, Load(1, 0.2, 1)).errors
    assert not Path(f"/proc/{pid}").exists()


def test_ended_early_it_leaves_nothing() -> None:
    """SIGTERM in the middle ends the targets that run as well."""
    command = [sys.executable, "-m", "tests.bench", "--quick"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as bench:
        assert bench.stderr
        assert any(line == "starting smallfirst\n" for line in bench.stderr)
        pids = proc.tree(bench.pid)
        bench.terminate()
        bench.communicate(timeout=30)
    assert bench.returncode == 130
    assert len(pids) > 1
    assert proc.rss_mb(pids) == 0  # also of one that nobody has collected yet


@contextlib.contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """A server that gives each connection one answer and closes it."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(answer)

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    with on_a_thread(server):
        yield server.server_address[1]


ERROR = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 4\r\nconnection: close\r\n\r\ntick"
LAST = upstream.LAST.replace(b"[DONE]", b"[GONE]")


@pytest.mark.parametrize(
    ("answer", "chunks", "why"),
    [
        (ERROR, 0, "502 b'tick'"),
        (upstream.ANSWER.replace(b"tick", b"tock"), 0, "200"),
        (upstream.ANSWER[:-5], 0, "closed before the answer was whole"),
        (b"nonsense\r\n\r\n", 0, "Expected HTTP/"),
        (upstream.HEAD + upstream.CHUNK + upstream.LAST, 2, "200"),
        (upstream.HEAD + upstream.CHUNK * 2 + LAST, 2, "without [DONE]"),
        (upstream.HEAD + upstream.CHUNK * 2, 2, "closed before the answer was whole"),
    ],
    ids=["status", "content", "cut", "nonsense", "chunk missing", "no DONE", "stream cut"],
)
def test_wrong_answers_are_counted(answer: bytes, chunks: int, why: str) -> None:
    """None of them as an answer."""
    with answering(answer) as port:
        seen = load.run(port, {}, Load(1, 5, 2, chunks))
    assert (seen.finished, seen.errors, seen.totals) == (0, 2, [])
    assert why in seen.why


@pytest.mark.parametrize(("chunks", "length"), [(0, 0.0), (3, 0.015)])  # two whole gaps at least, and some of one
def test_right_answers_are_counted(tmp_path: Path, chunks: int, length: float) -> None:
    """So many as were asked for, and how long each took; a stream's first content comes long before its end."""
    target = targets.direct(free_port())
    with targets.running(target, tmp_path):
        seen = load.run(target.port, {}, Load(2, 5, 6, chunks))
    assert (seen.finished, seen.errors, seen.chunks) == (6, 0, 6 * chunks)
    assert len(seen.totals) == len(seen.firsts) == 6
    assert min(seen.totals) >= length
    assert min(total - first for total, first in zip(seen.totals, seen.firsts, strict=True)) >= length * 0.8
    assert seen.seconds < 5
