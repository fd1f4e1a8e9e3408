"""The routes beside generation: health, models, and Ollama's native API with its loading of models."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson

from app.backends.scripted import answers, checks
from app.backends.scripted.http import Leaving, answer, answer_json, piece, start_stream
from app.backends.scripted.model import Model, Seen
from app.backends.scripted.wire import error

if TYPE_CHECKING:
    from app.backends.scripted.app import Scripted

Json = dict[str, Any]
TEXT = [(b"content-type", b"text/plain; charset=utf-8")]
NDJSON = [(b"content-type", b"application/x-ndjson")]
CREATED = "2026-01-01T00:00:00Z"


class Memory:
    """Which model is loaded, and with which window: another one, or another window, means loading again."""

    def __init__(
        self, model: Model, seen: Seen, now: Callable[[], float], sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._models = {model.name: model}
        self._first = model
        self._seen, self._now, self._sleep = seen, now, sleep
        self._born = now()
        self._loading = asyncio.Lock()
        self._loaded: Model | None = model if model.loaded else None
        self._keep(model.keep_alive)

    @property
    def loaded(self) -> Model | None:
        """llama-server loads when it starts, the others on demand; only Ollama forgets."""
        if self._first.imitates == "llama-cpp" and self._now() >= self._born + self._first.load:
            return self._first
        if self._first.imitates == "ollama" and self._now() >= self._until:
            self._loaded = None
        return self._loaded

    def model(self, name: Any) -> Model | None:
        return self._models.get(str(name).removesuffix(":latest")) or self._models.get(str(name))

    def names(self) -> list[str]:
        return list(self._models)

    def derive(self, name: str, base: Model, num_ctx: int) -> None:
        self._models[name] = replace(base, name=name, context_window=num_ctx)

    async def load(self, model: Model, num_ctx: int | None = None, keep_alive: float | None = None) -> None:
        """Returns when it is there. One load at a time; `keep_alive` in seconds, negative for ever."""
        wanted = replace(model, context_window=num_ctx) if num_ctx else model
        if self.loaded != wanted:
            async with self._loading:
                if self.loaded != wanted:
                    await self._load(wanted)
        self._keep(model.keep_alive if keep_alive is None else keep_alive)

    def unload(self) -> None:
        self._loaded = None

    async def _load(self, wanted: Model) -> None:
        self._seen.loads += 1
        self._seen.reloads += self._loaded is not None
        self._loaded = None
        if wanted.load:
            await self._sleep(wanted.load)
        self._loaded, self._until = wanted, math.inf

    def _keep(self, seconds: float) -> None:
        self._until = math.inf if seconds < 0 else self._now() + seconds


async def answer_to(
    scripted: Scripted, method: str, path: str, body: bytes, receive: Any, send: Any, query: bytes = b""
) -> None:
    kind = scripted.model.imitates
    if path == "/v1/models":
        return await answer_json(
            send, {"object": "list", "data": [_card(scripted, one) for one in scripted.memory.names()]}
        )
    if path.startswith("/v1/models/") and kind in ("ollama", "openai"):
        name = path.removeprefix("/v1/models/")
        if scripted.memory.model(name) is None:
            return await answer(send, 404, error(kind, 404, f"model '{name}' not found"))
        return await answer_json(send, _card(scripted, name))
    if kind == "ollama":
        return await _ollama(scripted, path, body, receive, send)
    found = _info(scripted, path, query)
    if found is None:
        if kind == "llama-cpp":
            return await answer(send, 404, error(kind, 404, "File Not Found", "not_found_error"))
        return await answer_json(send, {"error": f"not found: {method} {path}"}, 404)
    status, value, headers = found
    await answer(send, status, value, headers)


def _info(scripted: Scripted, path: str, query: bytes) -> tuple[int, bytes, list[tuple[bytes, bytes]] | None] | None:
    """What the servers that are not Ollama tell about themselves: (status, body, headers)."""
    model, seen = scripted.model, scripted.seen
    if model.imitates == "vllm":
        metrics = f'vllm:num_requests_running{{model_name="{model.name}"}} {seen.running}\n'
        metrics += f'vllm:num_requests_waiting{{model_name="{model.name}"}} {seen.queued}\n'
        return {
            "/health": (200, b"", TEXT),
            "/load": (200, orjson.dumps({"server_load": seen.running + seen.queued}), None),
            "/version": (200, b'{"version":"0.33.0"}', None),
            "/metrics": (200, metrics.encode(), TEXT),
        }.get(path)
    if model.imitates == "llama-cpp":
        return _llama(scripted, path, query)
    if model.imitates == "tgi":
        info = {
            "model_id": model.name,
            "max_total_tokens": model.context_window,
            "max_input_tokens": model.context_window - 1,
            "max_concurrent_requests": 128,
            "version": "3.3.7",
        }
        return {"/health": (200, b"", TEXT), "/info": (200, orjson.dumps(info), None)}.get(path)
    if model.imitates == "transformers":
        return {"/health": (200, b'{"status":"ok"}', None)}.get(path)
    return None


def _llama(scripted: Scripted, path: str, query: bytes) -> tuple[int, bytes, list[tuple[bytes, bytes]] | None] | None:
    model = scripted.model
    if path not in ("/health", "/v1/health", "/props", "/slots"):
        return None
    if not scripted.loaded:
        return 503, error("llama-cpp", 503, "Loading model", "unavailable_error"), None
    if path == "/slots":
        if b"fail_on_no_slot=1" in query and scripted.idle_slots < 1:
            return 503, error("llama-cpp", 503, "no slot available", "unavailable_error"), None
        slots = [{"id": number, "n_ctx": model.context_window} for number in range(model.slots)]
        return 200, orjson.dumps(slots), None
    if path == "/props":
        settings = {"n_ctx": model.context_window}
        modalities = {"vision": model.vision, "audio": False}
        props = {"default_generation_settings": settings, "total_slots": model.slots, "modalities": modalities}
        return 200, orjson.dumps(props), None
    return 200, b'{"status":"ok"}', None


async def _ollama(scripted: Scripted, path: str, body: bytes, receive: Any, send: Any) -> None:
    if path == "/":
        return await answer(send, 200, b"Ollama is running", TEXT)
    if path == "/api/version":
        return await answer_json(send, {"version": "0.33.0"})
    if path == "/api/tags":
        names = scripted.memory.names()
        return await answer_json(
            send, {"models": [{"name": one, "model": one, "size": 2_600_000_000} for one in names]}
        )
    if path == "/api/ps":
        loaded = scripted.memory.loaded
        return await answer_json(send, {"models": [_running(loaded)] if loaded else []})
    if path not in ("/api/show", "/api/chat", "/api/generate", "/api/create"):
        return await answer(send, 404, b"404 page not found", TEXT)
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError:
        return await answer_json(send, {"error": "invalid character in request body"}, 400)
    if path == "/api/create":
        return await _create(scripted, asked, send)
    model = scripted.memory.model(asked.get("model"))
    if model is None:
        return await answer_json(send, {"error": f"model '{asked.get('model')}' not found"}, 404)
    if path == "/api/show":
        return await answer_json(send, _shown(scripted, model))
    async with Leaving(receive):
        await _native(scripted, model, asked, path == "/api/chat", send)


async def _create(scripted: Scripted, asked: Json, send: Any) -> None:
    """A derived model: the way to another window."""
    base = scripted.memory.model(asked.get("from"))
    if base is None or not asked.get("model"):
        return await answer_json(send, {"error": "neither 'from' or 'files' was specified"}, 400)
    num_ctx = (asked.get("parameters") or {}).get("num_ctx") or base.context_window
    scripted.memory.derive(str(asked["model"]), base, int(num_ctx))
    lines = [{"status": "success"}] if asked.get("stream") is False else [{"status": "using existing layer"}]
    lines += [] if asked.get("stream") is False else [{"status": "success"}]
    await answer(send, 200, b"\n".join(map(orjson.dumps, lines)) + b"\n", NDJSON)


def _shown(scripted: Scripted, model: Model) -> Json:
    can = ["completion"] + [word for word, has in _abilities(model) if has]
    info = {"general.architecture": "qwen3", "qwen3.context_length": 262144}
    own = "" if model.name == scripted.model.name else f"\nnum_ctx {model.context_window}"
    return {"capabilities": can, "model_info": info, "parameters": f"temperature 0.7\ntop_k 20{own}"}


def _abilities(model: Model) -> list[tuple[str, bool]]:
    return [("tools", model.tools), ("vision", model.vision), ("thinking", model.thinks)]


async def _native(scripted: Scripted, model: Model, asked: Json, chat: bool, send: Any) -> None:
    """A chat without messages loads the model, or unloads it with keep_alive 0; else one answer, by lines."""
    keep = _seconds(asked.get("keep_alive"))
    messages = asked.get("messages") or []
    if not chat and asked.get("prompt"):
        messages = [{"role": "user", "content": asked["prompt"]}]
    if not messages:
        if keep == 0:
            scripted.memory.unload()
        else:
            await scripted.memory.load(model, (asked.get("options") or {}).get("num_ctx"), keep)
        why = "unload" if keep == 0 else "load"
        value = {"model": model.name, "created_at": CREATED, "done": True, "done_reason": why}
        said = {"message": {"role": "assistant", "content": ""}} if chat else {"response": ""}
        return await answer_json(send, {**value, **said})
    async with scripted.slot():
        options = asked.get("options") or {}
        await scripted.memory.load(model, options.get("num_ctx"), keep)
        await scripted.pause(model.first_token)
        lines = list(_lines(model, asked, messages, chat))
        if "error" in lines[0]:
            return await answer_json(send, lines[0], 400)
        if asked.get("stream") is False:
            await scripted.pause(model.per_token * len(lines))
            return await answer_json(send, _joined(lines, chat))
        await start_stream(send, NDJSON)
        for line in lines:
            await scripted.pause(model.per_token)
            await piece(send, orjson.dumps(line) + b"\n", more=line is not lines[-1])


def _lines(model: Model, asked: Json, messages: list[Json], chat: bool) -> Iterator[Json]:
    options = asked.get("options") or {}
    window = options.get("num_ctx") or model.context_window
    tokens = answers.prompt_tokens({"messages": messages})
    if tokens > window and asked.get("truncate") is False:
        yield {"error": "the input length exceeds the context length"}
        return
    schema = asked.get("format")
    wanted = {"type": "json_schema", "json_schema": {"schema": schema}} if isinstance(schema, dict) else None
    wanted = {"type": "json_object"} if schema == "json" else wanted
    body = {"messages": messages, "tools": asked.get("tools"), "response_format": wanted, "stop": options.get("stop")}
    body["max_tokens"] = options.get("num_predict")
    effort = "none" if asked.get("think") is False else None
    thinks = checks.thinks({"reasoning_effort": effort}, model)
    said = answers.answer(body, thinks=thinks, honours_choice=False, honours_format=True)
    head: Json = {"model": model.name, "created_at": CREATED}
    for key, pieces in (("thinking", said.thoughts), ("content", said.pieces)):
        for one in pieces:
            yield {**head, **_said(key, one, chat), "done": False}
    if said.call:
        call = {"function": {"name": said.call[0], "arguments": orjson.loads(said.call[1])}}
        yield {**head, "message": {"role": "assistant", "content": "", "tool_calls": [call]}, "done": False}
    counts = {"prompt_eval_count": min(tokens, window), "eval_count": said.tokens}
    times = {"total_duration": 1_000_000, "load_duration": int(model.load * 1e9)}
    reason = "length" if said.finish == "length" else "stop"
    yield {**head, **_said("content", "", chat), "done": True, "done_reason": reason, **times, **counts}


def _said(key: str, text: str, chat: bool) -> Json:
    if chat:
        return {"message": {"role": "assistant", "content": "", key: text}}
    return {"response": text} if key == "content" else {"response": "", key: text}


def _joined(lines: list[Json], chat: bool) -> Json:
    """One object instead of many."""
    whole: Json = dict(lines[-1])
    parts = [line["message"] if chat else line for line in lines]
    texts = {key: "".join(part.get(key) or "" for part in parts) for key in ("content", "response", "thinking")}
    if not chat:
        return {**whole, "response": texts["response"]}
    calls = [call for part in parts for call in part.get("tool_calls") or ()]
    more: Json = {"thinking": texts["thinking"]} if texts["thinking"] else {}
    more |= {"tool_calls": calls} if calls else {}
    return {**whole, "message": {"role": "assistant", "content": texts["content"], **more}}


def _seconds(keep_alive: Any) -> float | None:
    """Ollama's durations: a number of seconds, or text like 5m; None if it is not given."""
    if keep_alive is None or isinstance(keep_alive, int | float):
        return keep_alive
    text = str(keep_alive)
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    unit = next((one for one in units if text.endswith(one)), "")
    return float(text.removesuffix(unit) or 0) * units.get(unit, 1.0)


def _running(model: Model) -> Json:
    return {
        "name": model.name,
        "model": model.name,
        "context_length": model.context_window,
        "size": 3_000_000_000,
        "size_vram": 3_000_000_000,
    }


def _card(scripted: Scripted, name: str) -> Json:
    card: Json = {"id": name, "object": "model", "created": 1767225600, "owned_by": "scripted"}
    if scripted.model.imitates == "vllm":
        card["max_model_len"] = scripted.model.context_window
    return card
