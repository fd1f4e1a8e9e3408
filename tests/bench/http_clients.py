"""Measure HTTP clients for the data path: CPU per request and per streamed chunk, added latency, memory.

Each candidate runs behind the same raw ASGI route (uvicorn, httptools, uvloop, one worker) that posts the body
on and writes every piece of the answer at once. All candidates are up during the whole run and take turns within
each round, so that ratios between them are fair on a shared machine. CPU is user + system time of the process,
scaled by a fixed pure-Python loop timed on the same core before and after each segment. Not a test; run it as

    taskset -c 1 <mock> 9100 &       # any OpenAI-like upstream whose JSON answers come without delay
    python -m tests.bench.http_clients --mock-url http://127.0.0.1:9100 --loadgen <path> \\
        --body body.json --body-stream body_stream.json --rounds 5 --out clients.jsonl

`--loadgen` is any load generator called as `loadgen -p PORT -u PATH -b BODYFILE -c CONCURRENCY -n REQUESTS
-t SECONDS [-s]` that prints one JSON object with `finished`, `errors`, `rps`, `chunks`, `total_us` and `ttft_us`
(`{"p50", "p99"}`). Scenarios: J<c> JSON, S<c> server-sent events, c at a time. `--extra NAME=PORT` adds a proxy
that already runs (its CPU is then read from `--extra-pid NAME=PID`). `--clients` names those to compare, of which
only the shipped one and httpx come with the project; `pip install` the others. Linux only (CPU and memory from /proc).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.bench import proc

HEADERS = {"content-type": "application/json", "accept-encoding": "identity", "authorization": "Bearer none"}
Chunks = Callable[[], Awaitable[bytes]]


# ------------------------------------------------------------------ candidates: post(body) -> status, type, chunk
class AiohttpClient:
    def __init__(self, url: str) -> None:
        import aiohttp
        from yarl import URL

        self.url = URL(url)
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1024),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
            skip_auto_headers=("User-Agent", "Accept"),
        )

    @asynccontextmanager
    async def post(self, body: bytes) -> AsyncIterator[tuple[int, str, Chunks]]:
        reply = await self.session.post(self.url, data=body, headers=HEADERS, allow_redirects=False)
        try:
            yield reply.status, reply.headers["content-type"], reply.content.readany
        finally:
            reply.release()


class PyreqwestClient:
    def __init__(self, url: str) -> None:
        from pyreqwest.client import ClientBuilder

        self.url = url
        self.client = ClientBuilder().follow_redirects(False).no_proxy().connect_timeout(timedelta(seconds=5)).build()

    @asynccontextmanager
    async def post(self, body: bytes) -> AsyncIterator[tuple[int, str, Chunks]]:
        builder = self.client.post(self.url).headers(HEADERS).body_bytes(body).streamed_read_buffer_limit(0)
        async with builder.build_streamed() as reply:
            read = reply.body_reader.read_chunk

            async def chunk() -> bytes:
                piece = await read()
                return b"" if piece is None else piece.to_bytes()

            yield reply.status, reply.get_header("content-type") or "", chunk


class HttpxClient:
    def __init__(self, url: str) -> None:
        import httpx

        self.url = url
        limits = httpx.Limits(max_connections=1024, max_keepalive_connections=1024)
        self.client = httpx.AsyncClient(timeout=None, limits=limits, trust_env=False)

    @asynccontextmanager
    async def post(self, body: bytes) -> AsyncIterator[tuple[int, str, Chunks]]:
        async with self.client.stream("POST", self.url, content=body, headers=HEADERS) as reply:
            pieces = reply.aiter_bytes()

            async def chunk() -> bytes:
                return await anext(pieces, b"")

            yield reply.status_code, reply.headers["content-type"], chunk


class ShippedClient:
    """The chosen library behind the project's own seam: what the gateway really pays."""

    def __init__(self, url: str) -> None:
        from app.backends.http_client import HttpClient

        self.url = url
        self.client = HttpClient(proxies=False, connect_timeout=5, max_connections=1024)

    @asynccontextmanager
    async def post(self, body: bytes) -> AsyncIterator[tuple[int, str, Chunks]]:
        reply = await self.client.post(self.url, HEADERS, body)
        try:
            yield reply.status, reply.header("content-type") or "", reply.chunk
        finally:
            reply.close()


CLIENTS: dict[str, Callable[[str], Any]] = {
    "aiohttp": AiohttpClient,
    "pyreqwest": PyreqwestClient,
    "httpx": HttpxClient,
    "shipped": ShippedClient,
}


# ------------------------------------------------------------------ the route every candidate stands behind
def application(make: Callable[[str], Any], url: str) -> Callable[..., Awaitable[None]]:
    clients: list[Any] = []

    async def app(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if not clients:
            clients.append(make(url))
        async with clients[0].post(body) as (status, content_type, chunk):
            headers = [(b"content-type", content_type.encode())]
            if content_type.startswith("text/event-stream"):
                await send({"type": "http.response.start", "status": status, "headers": headers})
                while piece := await chunk():
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
                return
            whole = b""
            while piece := await chunk():
                whole += piece
        headers.append((b"content-length", str(len(whole)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": whole})

    return app


def serve(name: str, url: str, port: int) -> None:
    import gc

    import uvicorn

    config = uvicorn.Config(
        application(CLIENTS[name], url),
        port=port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        lifespan="off",
    )
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    uvicorn.Server(config).run()


# ------------------------------------------------------------------ measuring
def spin(cpu: int) -> float:
    """On core `cpu`: how fast that is right now."""
    with proc.on({cpu}):
        return proc.spin()


def load(options: argparse.Namespace, port: int, scenario: str, seconds: float, requests: int) -> dict[str, Any]:
    stream = scenario[0] == "S"
    command = ["taskset", "-c", str(options.load_cpu), options.loadgen, "-p", str(port)]
    command += ["-u", "/v1/chat/completions", "-b", options.body_stream if stream else options.body]
    command += ["-c", scenario[1:], "-n", str(requests), "-t", str(seconds), *(["-s"] if stream else [])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def measure(options: argparse.Namespace, name: str, port: int, pid: int | None, scenario: str) -> dict[str, Any]:
    stream, count = scenario[0] == "S", int(scenario[1:])
    requests, seconds = (count * 2, 5.0) if stream else (200_000, options.seconds)
    pids = [pid] if pid else []
    spun, before = spin(options.cpu), proc.cpu(pids)
    result = load(options, port, scenario, seconds, requests)
    time.sleep(0.02)
    used = proc.seconds_between(before, proc.cpu(pids))
    units = result["chunks"] if stream else result["finished"]
    raw_us = used / max(units, 1) * 1e6
    return {
        "client": name,
        "scenario": scenario,
        "cpu_us": proc.scaled(raw_us, spun, spin(options.cpu)),
        "raw_us": raw_us,
        "rps": result["rps"],
        "p50_ms": result["total_us"]["p50"] / 1e3,
        "p99_ms": result["total_us"]["p99"] / 1e3,
        "ttft_p50_ms": result["ttft_us"]["p50"] / 1e3,
        "rss_mb": proc.rss_mb(pids),
        "errors": result["errors"],
        "finished": result["finished"],
    }


COLUMNS = ("cpu_us", "raw_us", "rps", "p50_ms", "p99_ms", "ttft_p50_ms", "rss_mb")


def report(rows: list[dict[str, Any]]) -> None:
    """Medians over the rounds, the scaled CPU with its span; `cpu_us` is per request, or per chunk of a stream."""
    print("".join(f"{name:>12}" for name in ("scenario", "client", *COLUMNS, "span", "errors", "n")))
    for scenario in dict.fromkeys(row["scenario"] for row in rows):
        for client in dict.fromkeys(row["client"] for row in rows):
            some = [row for row in rows if (row["scenario"], row["client"]) == (scenario, client)]
            middle = [statistics.median(row[name] for row in some) for name in COLUMNS]
            cpu = [row["cpu_us"] for row in some]
            errors = sum(row["errors"] for row in some)
            print(f"{scenario:>12}{client:>12}" + "".join(f"{value:12.2f}" for value in middle), end="")
            print(f"{min(cpu):6.0f}..{max(cpu):<4.0f}{errors:12}{len(some):12}")


def start(options: argparse.Namespace, name: str, port: int) -> subprocess.Popen[bytes]:
    command = [
        "taskset",
        "-c",
        str(options.cpu),
        sys.executable,
        "-m",
        __spec__.name,
        "--serve",
        name,
        "--port",
        str(port),
    ]
    return subprocess.Popen([*command, "--mock-url", options.mock_url])


def wait_until_up(options: argparse.Namespace, port: int) -> None:
    for _ in range(100):
        if load(options, port, "J1", 2, 1)["errors"] == 0:
            return
        time.sleep(0.1)
    raise SystemExit(f"nothing answers on port {port}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--mock-url", required=True)
    add("--loadgen")
    add("--body")
    add("--body-stream")
    add("--clients", default="aiohttp,pyreqwest,httpx")
    add("--scenarios", default="J16,J64,J256,S1,S16,S64")
    add("--rounds", type=int, default=5)
    add("--seconds", type=float, default=1.3, help="of each JSON segment")
    add("--cpu", type=int, default=0)
    add("--load-cpu", type=int, default=1)
    add("--extra", action="append", default=[])
    add("--extra-pid", action="append", default=[])
    add("--out")
    add("--serve", help=argparse.SUPPRESS)
    add("--port", type=int, default=8100, help="first port of the candidates")
    options = parser.parse_args()
    if options.serve:
        return serve(options.serve, options.mock_url + "/v1/chat/completions", options.port)
    names = options.clients.split(",")
    servers = {name: start(options, name, options.port + i) for i, name in enumerate(names)}
    try:
        ports = {name: options.port + i for i, name in enumerate(names)}
        pids: dict[str, int | None] = {name: server.pid for name, server in servers.items()}
        for extra in options.extra:
            ports[extra.partition("=")[0]] = int(extra.partition("=")[2])
        for extra in options.extra_pid:
            pids[extra.partition("=")[0]] = int(extra.partition("=")[2])
        ports["direct"] = int(options.mock_url.rpartition(":")[2])
        run(options, ports, pids)
    finally:
        for server in servers.values():
            server.terminate()
        for server in servers.values():
            server.wait(10)


def run(options: argparse.Namespace, ports: dict[str, int], pids: dict[str, int | None]) -> None:
    urllib.request.urlopen(options.mock_url + "/v1/models", timeout=5).close()
    for port in ports.values():
        wait_until_up(options, port)
        for scenario in ("J1", "J16", "J64"):
            load(options, port, scenario, 1, 2000)
    rows: list[dict[str, Any]] = []
    for _ in range(options.rounds):
        for scenario in options.scenarios.split(","):
            for name, port in ports.items():
                rows.append(measure(options, name, port, pids.get(name), scenario))
                if options.out:
                    with Path(options.out).open("a") as out:
                        out.write(json.dumps(rows[-1]) + "\n")
    report(rows)


if __name__ == "__main__":
    main()
