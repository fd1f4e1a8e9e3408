"""What commands ask an Ollama: its models and what they can do, to make a derived one, to count for us.

Only `asking` loads a model. The data path has its own client.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

DEFAULT_PORT = 11434
QUICK = httpx.Timeout(5.0, connect=2.0)
SLOW = httpx.Timeout(120.0, connect=2.0)
LOADING = httpx.Timeout(300.0, connect=5.0)
_COUNT = {
    "messages": [{"role": "user", "content": "Count from 1 to 60, one number a line."}],
    "stream": True,
    "max_tokens": 32,
    "temperature": 0,
}


@dataclass(frozen=True, slots=True)
class Model:
    """`size` in bytes on disk; `context` is what it was trained for, in tokens; `remote`: runs in a cloud."""

    name: str
    size: int = 0
    chats: bool = True
    embeds: bool = False
    thinks: bool = False
    remote: bool = False
    loaded: bool = False
    context: int | None = None


def address(environ: Mapping[str, str]) -> str:
    """Where OLLAMA_HOST says it is, as Ollama's own client reads it; http://127.0.0.1:11434 by default."""
    given = environ.get("OLLAMA_HOST", "").strip().strip("\"'")
    scheme, separator, rest = given.rpartition("://")
    parts = urlsplit(f"//{rest}")
    default = {"https": 443, "http": 80}.get(scheme, DEFAULT_PORT) if separator else DEFAULT_PORT
    host = parts.hostname or "127.0.0.1"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # where it listens is not where one calls
    try:
        port = parts.port or default
    except ValueError:
        port = default
    return f"{scheme or 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Ollama:
    """`url` is its root. Never reached through a proxy from the environment."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def models(self) -> list[Model] | None:
        """Loaded ones first, then the smallest, those in a cloud last; None if no Ollama answers there."""
        async with self._client(QUICK) as client:
            try:
                listed = (await _json(client.get("/api/tags"))).get("models") or []
                loaded = {str(one.get("name")) for one in (await _json(client.get("/api/ps"))).get("models") or []}
                shown = [(one, await self._show(client, str(one["name"]))) for one in listed]
            except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError):
                return None
        models = [_model(one, more, str(one["name"]) in loaded) for one, more in shown]
        return sorted(models, key=lambda one: (one.remote, not one.loaded, one.size, one.name))

    async def derive(self, base: str, num_ctx: int) -> str | None:
        """Make `base` with another context window, sharing its weights; its name, None if Ollama refused."""
        stem, _, tag = base.partition(":")
        name = f"{stem}:{f'{tag}-' if tag not in ('', 'latest') else ''}ctx{num_ctx}"
        async with self._client(SLOW) as client:
            body = {"model": name, "from": base, "parameters": {"num_ctx": num_ctx}, "stream": False}
            try:
                made = await client.post("/api/create", json=body)
            except httpx.HTTPError:
                return None
        return name if made.is_success else None

    @contextlib.asynccontextmanager
    async def asking(self, model: str, at_once: int) -> AsyncIterator[Callable[[], Awaitable[list[float] | None]]]:
        """A way to send `model` one short request and learn when each piece of its answer arrived; this loads it."""
        async with self._client(LOADING, httpx.Limits(max_connections=at_once)) as client:
            yield lambda: _times(client, model)

    def _client(self, timeout: httpx.Timeout, limits: httpx.Limits = httpx.Limits()) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, timeout=timeout, limits=limits, trust_env=False)

    async def _show(self, client: httpx.AsyncClient, name: str) -> dict[str, Any]:
        answer = await client.post("/api/show", json={"model": name})
        return answer.json() if answer.is_success else {}


async def _json(asked: Any) -> dict[str, Any]:
    answer = (await asked).raise_for_status().json()
    if not isinstance(answer, dict):
        raise ValueError("not a JSON object")
    return answer


async def _times(client: httpx.AsyncClient, model: str) -> list[float] | None:
    now = asyncio.get_running_loop().time
    try:
        async with client.stream("POST", "/v1/chat/completions", json={**_COUNT, "model": model}) as answer:
            if not answer.is_success:
                return None
            return [now() async for line in answer.aiter_lines() if _is_piece(line)]
    except httpx.HTTPError:
        return None


def _is_piece(line: str) -> bool:
    return line.startswith("data: {") and '"error"' not in line


def _model(listed: dict[str, Any], shown: dict[str, Any], loaded: bool) -> Model:
    name = str(listed["name"])
    can = shown.get("capabilities") or []
    info = shown.get("model_info") or {}
    windows = [int(value) for key, value in info.items() if key.endswith(".context_length")]
    return Model(
        name=name,
        size=int(listed.get("size") or 0),
        chats="completion" in can or (not can and "embed" not in name),
        embeds="embedding" in can or (not can and "embed" in name),
        thinks="thinking" in can,
        remote=bool(listed.get("remote_host")) or name.endswith(("-cloud", ":cloud")),
        loaded=loaded,
        context=windows[0] if windows else None,
    )
