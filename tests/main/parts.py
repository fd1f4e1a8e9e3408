"""A config as text, and a gateway built from it inside the test's own loop."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

from app.backends.llama.machine import Machine
from app.backends.llama.server import World
from app.backends.llama.servers import Servers
from app.main.application import SystemClock
from app.main.keep import Keep
from app.main.money import Money
from app.settings import GatewayConfig, Source
from app.telemetry.logs import JsonLog
from app.telemetry.metrics import Metrics

TWO_TIERS = """
backends:
  small: {kind: ollama, zone: local, base_url: "http://127.0.0.1:1", model: "qwen3:4b",
          capacity: {concurrent: 1, queue: 4, max_wait: 5s}, price: {kind: unpriced}}
  large: {kind: vllm, zone: remote, base_url: "http://127.0.0.1:2", model: big, api_key_env: BIG_KEY,
          price: {kind: tokens, input: 1, output: 2}}
tiers: [{name: slm, backends: [small]}, {name: llm, backends: [large]}]
"""
ENVIRON = {"BIG_KEY": "a-secret-of-the-test"}


def config_of(text: str = TWO_TIERS, environ: Mapping[str, str] = ENVIRON) -> GatewayConfig:
    return Source(None, environ, text).load().config


def keep() -> tuple[Keep, io.BytesIO]:
    """What outlives reloads, and where its log goes."""
    log = io.BytesIO()
    lines = JsonLog(log, lambda: 0.0)
    servers = Servers(World(Machine({}), lines.event, lambda: 0.0))
    return Keep(Metrics("0"), lines, Money(SystemClock(), ()), servers), log


def write(folder: Path, text: str) -> Path:
    path = folder / "gateway.yaml"
    path.write_text(text)
    return path
