"""A real gateway in a process of its own, and the smallest client that can leave whenever it likes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class GatewayProcess:
    """`smallfirst serve` on `port`; its log lines go to `log`."""

    process: subprocess.Popen[bytes]
    port: int
    config: Path
    log: Path

    def get(self, path: str, timeout: float = 5.0) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self.port}{path}", timeout=timeout) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name: str, **labels: str) -> float:
        """The sum over all series of `name` that carry these labels."""
        total = 0.0
        for line in self.get("/metrics")[1].splitlines():
            found = re.match(r"(\w+)(?:\{(.*)\})? (\S+)", line)
            if found and found[1] == name:
                given = dict(re.findall(r'(\w+)="([^"]*)"', found[2] or ""))
                if all(given.get(key) == value for key, value in labels.items()):
                    total += float(found[3])
        return total

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def rss_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", status)
        assert found
        return int(found[1]) / 1024


@contextmanager
def gateway(config: str, folder: Path, **environ: str) -> Iterator[GatewayProcess]:
    """Write `config` (with `{port}` where its port goes), start the gateway on it, wait until it is ready."""
    port = free_port()
    path, log = folder / "gateway.yaml", folder / "gateway.log"
    path.write_text(config.replace("{port}", str(port)))
    command = [sys.executable, "-m", "app.cli", "serve", "--config", str(path)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **environ})
        running = GatewayProcess(process, port, path, log)
        try:
            _wait(running)
            yield running
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(10)


def _wait(running: GatewayProcess) -> None:
    for _ in range(1200):  # a minute: on a busy machine Python alone takes twenty seconds to start
        if running.process.poll() is not None:
            raise AssertionError(running.log.read_text())
        try:
            if running.get("/ready", timeout=1.0)[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError("the gateway did not become ready:\n" + running.log.read_text())


def chat(content: str, **fields: object) -> bytes:
    return json.dumps({"model": "auto", "messages": [{"role": "user", "content": content}], **fields}).encode()


def post(body: bytes, path: str = "/v1/chat/completions", headers: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return f"{head}{headers}\r\n".encode() + body


async def exchange(port: int, request: bytes, *, leave_after: float | None = None) -> bytes | None:
    """The whole answer of one request on a connection of its own; None if we left after so many seconds."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
        async with asyncio.timeout(leave_after if leave_after is not None else 60.0):
            return await reader.read()
    except TimeoutError:
        if leave_after is None:
            raise
        return None
    finally:
        writer.transport.abort()
