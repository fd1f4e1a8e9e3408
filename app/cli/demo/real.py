"""`smallfirst demo --real`: the small model is a real one of this machine, and time is time.

A running Ollama with a model of its own is taken; without one, llama.cpp's server, which the gateway starts itself. The
large model stays scripted, at the price of a real one by the token. What the small one's machine costs is not known, so
it is unpriced and never counted as nothing.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import typer

from app.backends.llama.launch import HUB, Cannot
from app.backends.llama.machine import program
from app.backends.scripted import Model, Scripted, serve
from app.backends.scripted.server import loopback, url_of
from app.cli.demo.client import REAL_PATIENCE
from app.cli.demo.clock import SimClock
from app.cli.demo.day import Arrival
from app.cli.demo.house import LARGE, SHARE, SMALL, House, no_proxy, opened
from app.cli.demo.requests import Request
from app.cli.ollama import Ollama, address, is_loopback
from app.core.types import Record
from app.ports import Observer
from app.settings import as_yaml

GGUF = f"{HUB}Qwen/Qwen2.5-0.5B-Instruct-GGUF/qwen2.5-0.5b-instruct-q4_k_m.gguf"  # half a gigabyte
CONTEXT = 4096  # tokens: what Ollama gives at least; longer requests go to the large model
SLOTS = 2
LONGEST = 64  # tokens of an answer that has no limit of its own
LOOK = 0.2  # seconds between looks at whether it is ready
PRICE = {
    "kind": "tokens",
    "input": 0.15,
    "cached_input": 0.075,
    "output": 0.60,
    "source": "gpt-oss-120b, groq list price",
    "as_of": "2026-11-22",
}


@dataclass(frozen=True, slots=True)
class Box:
    """What is real: the server's name, its model, and its entry in the config. `at_once`: requests that it runs."""

    server: str
    model: str
    entry: Mapping[str, Any]
    at_once: int = 1

    def __str__(self) -> str:
        return f"{self.model} by {self.server}"


class RealClock(SimClock):
    """Simulates nothing: nobody can make it run faster, slower, or stop."""

    def __init__(self) -> None:
        super().__init__(time.time())

    def utc(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def watched(self, speed: float = 1.0) -> nullcontext[None]:  # type: ignore[override]
        return nullcontext()


async def find(environ: Mapping[str, str], model: str | None) -> Box:
    """A model that can be had; `model` names a GGUF file, which no Ollama has. Raises Cannot."""
    if model is not None:
        if not model.lower().endswith(".gguf"):
            raise typer.BadParameter("--model is a file.gguf or hf://owner/repo/file.gguf")
        program(environ)
        return _llama(model)
    ollama = Ollama(address(environ))
    models = await ollama.models()
    own = [one for one in models or () if one.chats and not one.remote]
    if own:
        return _ollama(ollama.url, own[0].name, own[0].thinks)
    try:
        program(environ)
    except Cannot as why:
        lacks = "does not answer" if models is None else "has no chat model of its own (ollama pull qwen3:4b)"
        raise Cannot(f"No small model can be had here: Ollama at {ollama.url} {lacks}, and {why}.") from None
    return _llama(GGUF)


def _ollama(url: str, model: str, thinks: bool) -> Box:
    zone = "local" if is_loopback(url) else "remote"
    entry = {"kind": "ollama", "zone": zone, "base_url": url, "model": model, "context_window": CONTEXT}
    return Box("Ollama", model, {**entry, **({"reasoning": "off"} if thinks else {})})


def _llama(model: str) -> Box:
    with loopback() as free:
        url = url_of(free)
    name = model.rpartition("/")[2].removesuffix(".gguf")
    start = {"llama_server": {"model": model, "slots": SLOTS, "context": CONTEXT}}
    entry = {"kind": "openai", "zone": "local", "base_url": url, "model": name, "start": start}
    return Box("llama-server", name, entry, SLOTS)


def day(requests: Sequence[Request]) -> list[Arrival]:
    """Two of each kind, one kind after the other: the first is English, the last Chinese. No answer is endless."""
    kinds: dict[str, list[Request]] = {}
    for request in requests:
        body = {"max_tokens": LONGEST, **request.body}
        kinds.setdefault(request.kind, []).append(Request(request.kind, body, request.headers))
    chosen = [one for kind in kinds.values() for one in (kind[0], kind[-1])]
    return [Arrival(0.0, number, request) for number, request in enumerate(chosen)]


@asynccontextmanager
async def real_house(box: Box, observer: Observer, records: Path, environ: Mapping[str, str]) -> AsyncIterator[House]:
    """The real box, the scripted large model and the gateway before them."""
    large = Scripted(Model("vllm", "scripted/120b", slots=8, context_window=131_072, vision=True, sentences=14))
    async with serve(large) as url:
        timeouts = {"first_token": REAL_PATIENCE, "total": REAL_PATIENCE}
        capacity = {"concurrent": box.at_once, "queue": 16, "max_wait": REAL_PATIENCE}
        small = {**box.entry, "capacity": capacity, "timeouts": timeouts, "price": {"kind": "unpriced"}}
        far = {"kind": "vllm", "zone": "remote", "base_url": url, "model": "scripted/120b", "price": PRICE}
        config = {
            "backends": {SMALL: small, LARGE: far},
            "tiers": [{"name": "slm", "backends": [SMALL]}, {"name": "llm", "backends": [LARGE]}],
            "routing": {"llm_share": SHARE},
            "records": {"path": str(records), "keep_days": 36500},
        }
        ours = {name: value for name, value in environ.items() if not name.upper().startswith("SMALLFIRST_")}
        with no_proxy():
            async with opened(as_yaml(config), ours, {LARGE: large}, observer, RealClock(), records) as house:
                yield house


async def awake(house: House, say: Callable[[str], None]) -> None:
    """Until the box is ready; `say` is told what it does. Raises Cannot, or KeyboardInterrupt if the gateway ends."""
    said = ""
    async with httpx.AsyncClient(base_url=house.url, trust_env=False) as client:
        while not house.stopped.done():
            small = (await client.get("/ready")).json()["backends"][SMALL]
            problem = str(small["problem"] or small["state"])
            if small["state"] == "ready":
                return
            if small["state"] == "down":
                raise Cannot(f"The small model cannot be had: {problem}.")
            doing = problem.partition(":")[0]  # behind it stands how much there is to fetch, and how far that is
            if doing != said:
                said = doing
                say(f"The small model {problem} ...")
            await asyncio.sleep(LOOK)
    raise KeyboardInterrupt


@dataclass(frozen=True, slots=True)
class Real:
    """What the real box did. Seconds of the wall; `pace`: tokens a second of one answer after its first, median."""

    box: Box
    seconds: float
    answers: int
    tokens: tuple[int, int]
    pace: float | None

    def as_json(self) -> dict[str, Any]:
        return {
            "server": self.box.server,
            "model": self.box.model,
            "seconds": round(self.seconds, 3),
            "answers": self.answers,
            "input_tokens": self.tokens[0],
            "output_tokens": self.tokens[1],
            "tokens_per_second": None if self.pace is None else round(self.pace, 2),
        }


def measured(box: Box, records: Sequence[Record], seconds: float) -> Real:
    """From the gateway's own records of what the box answered."""
    told = [(record.stream, one) for record in records for one in record.receipts if one.backend == SMALL]
    answered = [(stream, one, one.usage) for stream, one in told if one.outcome == "ok" and one.usage]
    tokens = sum(usage.input for *_, usage in answered), sum(usage.output for *_, usage in answered)
    paces = [
        (usage.output - 1) / (one.seconds - one.first_token)
        for stream, one, usage in answered
        if stream and usage.output > 1 and one.first_token is not None and one.seconds > one.first_token
    ]
    return Real(box, seconds, len(answered), tokens, statistics.median(paces) if paces else None)
