"""A real Prometheus on loopback with the shipped config, and its HTTP API."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import needs
from tests.deploy.board import DEPLOY
from tests.e2e.process import HOST, free_port

INSTALL = "sudo apt-get install prometheus"
EVERY = "500ms"  # between scrapes; production's are in the config
PATIENCE = 15.0  # seconds
Series = tuple[dict[str, str], float]


def promtool() -> Path:
    return _program("promtool")


def _program(name: str) -> Path:
    return needs.program(Path(shutil.which(name) or f"/usr/bin/{name}"), INSTALL)


@dataclass
class Prometheus:
    port: int

    def get(self, path: str, **asked: str) -> Any:
        url = f"http://{HOST}:{self.port}{path}?{urllib.parse.urlencode(asked)}"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def ask(self, expression: str, at: float | None = None) -> list[Series]:
        """An instant query: labels and value of each series."""
        when = {} if at is None else {"time": f"{at:.3f}"}
        found = self.get("/api/v1/query", query=expression, **when)["result"]
        return [(one["metric"], float(one["value"][1])) for one in found]

    def last_scrape(self) -> float:
        """When the newest samples were taken; 0 before the first."""
        return max((at for _, at in self.ask("timestamp(smallfirst_build_info)")), default=0.0)

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self.get("/api/v1/rules")["groups"] for rule in group["rules"]]


def until(what: str, true: Callable[[], bool]) -> None:
    """Look again and again, and say what did not come true."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.1)


@contextmanager
def prometheus(gateway: int, admin_key: str, folder: Path) -> Iterator[Prometheus]:
    """The shipped config with a shorter interval. The gateway keeps the name that it has there: it is reached as if
    through a proxy, so it sees a stranger, who needs the key."""
    program, port = _program("prometheus"), free_port()
    command = [
        str(program),
        f"--config.file={_config(gateway, admin_key, folder)}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={HOST}:{port}",
    ]
    log = folder / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            running = Prometheus(port)
            until("Prometheus does not start", lambda: process.poll() is not None or _is_ready(running))
            assert process.poll() is None, log.read_text()
            until("Prometheus cannot read the gateway", lambda: running.last_scrape() > 0)
            yield running
        finally:
            process.kill()
            process.wait(10)


def _config(gateway: int, admin_key: str, folder: Path) -> Path:
    shipped = DEPLOY / "prometheus"
    key, config = folder / "admin_key", folder / "prometheus.yml"
    key.write_text(admin_key)
    text = (shipped / "prometheus.yml").read_text("utf-8")
    for old, new in (
        ("15s ", f"{EVERY} "),
        ("rules/*.yml", f"{shipped}/rules/*.yml"),
        ("/run/secrets/admin_key", str(key)),
        ("    static_configs:", f"    proxy_url: http://{HOST}:{gateway}\n    static_configs:"),
    ):
        assert old in text
        text = text.replace(old, new)
    config.write_text(text.replace("evaluation_interval: 15s", f"evaluation_interval: {EVERY}"))
    return config


def _is_ready(running: Prometheus) -> bool:
    try:
        return bool(running.get("/api/v1/status/buildinfo"))
    except OSError:
        return False
