"""The routes beside generation: health, models, and Ollama's native API as far as the gateway asks it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from app.backends.scripted.http import answer, answer_json

if TYPE_CHECKING:
    from app.backends.scripted.app import Scripted

Json = dict[str, Any]


async def answer_to(scripted: Scripted, method: str, path: str, body: bytes, send: Any) -> None:
    kind = scripted.model.imitates
    if path == "/v1/models":
        return await answer_json(send, {"object": "list", "data": [_card(scripted)]})
    if path.startswith("/v1/models/") and kind in ("ollama", "openai"):
        known = path.removeprefix("/v1/models/") == scripted.model.name
        return await answer_json(send, _card(scripted) if known else {"error": "not found"}, 200 if known else 404)
    if kind == "ollama":
        return await _ollama(scripted, path, body, send)
    if path == "/health" and kind in ("vllm", "tgi", "transformers"):
        return await answer(send, 200, b"" if kind != "transformers" else b'{"status":"ok"}')
    if path == "/health" and kind == "llama-cpp":
        if not scripted.loaded:
            loading = {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}
            return await answer_json(send, loading, 503)
        return await answer_json(send, {"status": "ok"})
    if path == "/props" and kind == "llama-cpp":
        window = {"n_ctx": scripted.model.context_window}
        return await answer_json(send, {"default_generation_settings": window, "total_slots": scripted.model.slots})
    if path == "/info" and kind == "tgi":
        model = scripted.model
        return await answer_json(send, {"model_id": model.name, "max_total_tokens": model.context_window})
    return await answer_json(send, {"error": f"not found: {method} {path}"}, 404)


async def _ollama(scripted: Scripted, path: str, body: bytes, send: Any) -> None:
    model = scripted.model
    if path == "/":
        return await answer(send, 200, b"Ollama is running", [(b"content-type", b"text/plain")])
    if path == "/api/version":
        return await answer_json(send, {"version": "0.33.0"})
    if path == "/api/tags":
        return await answer_json(send, {"models": [{"name": model.name, "model": model.name, "size": 2_600_000_000}]})
    if path == "/api/ps":
        return await answer_json(send, {"models": [_running(scripted)] if scripted.loaded else []})
    if path == "/api/show":
        return await _show(scripted, orjson.loads(body or b"{}"), send)
    if path in ("/api/chat", "/api/generate"):
        return await _native(scripted, orjson.loads(body), send)
    if path == "/api/create":
        return await answer_json(send, {"status": "success"})
    await answer(send, 404, b"404 page not found", [(b"content-type", b"text/plain")])


async def _show(scripted: Scripted, asked: Json, send: Any) -> None:
    model = scripted.model
    if asked.get("model") != model.name:
        return await answer_json(send, {"error": f"model '{asked.get('model')}' not found"}, 404)
    can = ["completion"] + [word for word, has in _abilities(scripted) if has]
    info = {"general.architecture": "qwen3", "qwen3.context_length": 262144}
    await answer_json(send, {"capabilities": can, "model_info": info, "parameters": "temperature 0.7\ntop_k 20"})


def _abilities(scripted: Scripted) -> list[tuple[str, bool]]:
    model = scripted.model
    return [("tools", model.tools), ("vision", model.vision), ("thinking", model.thinks)]


async def _native(scripted: Scripted, asked: Json, send: Any) -> None:
    """A chat without messages loads the model, or unloads it with keep_alive 0."""
    if asked.get("keep_alive") in (0, "0", "0s"):
        scripted.loaded = False
        return await answer_json(send, {"model": scripted.model.name, "done": True, "done_reason": "unload"})
    await scripted.load()
    await answer_json(send, {"model": scripted.model.name, "done": True, "done_reason": "load"})


def _running(scripted: Scripted) -> Json:
    model = scripted.model
    return {"name": model.name, "model": model.name, "context_length": model.context_window, "size_vram": 3_000_000_000}


def _card(scripted: Scripted) -> Json:
    card: Json = {"id": scripted.model.name, "object": "model", "created": 1767225600, "owned_by": "scripted"}
    if scripted.model.imitates == "vllm":
        card["max_model_len"] = scripted.model.context_window
    return card
