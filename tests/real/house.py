"""The gateway before llama.cpp's server as its small tier and a scripted one as its large tier."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openai import OpenAI

from app.backends.scripted import Model, Scripted, serve_in_thread
from tests.e2e.process import HOST, GatewayProcess, gateway
from tests.real.llama import Llama

SLOTS = 2
PATIENCE = 30.0  # seconds
NAME = "tiny"
TO_THE_LIMIT = {"ignore_eos": True}  # a model of random weights may end anywhere
WINDOW = 4096  # of each slot: an answer that fills it takes half a minute
LARGE = "maker/large"
CONFIG = """
server: {{host: 127.0.0.1, port: {{port}}}}
backends:
  small: {{kind: llama-cpp, zone: local, base_url: "{small}", model: {tiny}, price: unpriced{more},
          capacity: {{concurrent: {slots}, queue: 16, max_wait: 60s}}}}
  large: {{kind: openai, zone: remote, host: cloud, base_url: "{large}", model: {name}, price: unpriced}}
tiers: [{{name: slm, backends: [small]}}, {{name: llm, backends: [large]}}]
routing: {{threshold: 0.99}}
records: {{path: "{records}"}}
"""


@dataclass(frozen=True)
class House:
    llama: Llama
    large: Scripted
    gateway: GatewayProcess

    @property
    def client(self) -> OpenAI:
        """The real one. Its own retries would hide what the gateway does."""
        return OpenAI(base_url=f"http://{HOST}:{self.gateway.port}/v1", api_key="none", max_retries=0, timeout=60.0)

    def metric(self, name: str, **labels: str) -> float:
        return self.gateway.metric(f"smallfirst_{name}", **labels)


@contextmanager
def opened(folder: Path, llama: Llama, more: str = "") -> Iterator[House]:
    """`more` is added to the small backend's config."""
    fake = Scripted(Model(imitates="openai", name=LARGE, slots=8, context_window=100_000))
    with serve_in_thread(fake) as url:
        config = CONFIG.format(
            small=llama.url, large=url, tiny=NAME, name=LARGE, slots=SLOTS, more=more, records=folder / "records.db"
        )
        with gateway(config, folder, NO_PROXY="127.0.0.1") as process:
            yield House(llama, fake, process)


def until(done: Callable[[], bool], patience: float = PATIENCE, pause: float = 0.01) -> float:
    """How long it took; fails if it takes longer than `patience`. Between two looks it leaves the server in peace."""
    began = time.monotonic()
    while not done():
        assert time.monotonic() - began < patience
        time.sleep(pause)
    return time.monotonic() - began


def hello(text: str = "How are you?") -> list[Any]:
    return [{"role": "user", "content": text}]
