"""The hot endpoints' part of the OpenAPI document. Bodies are open objects: unknown fields are welcome."""

from __future__ import annotations

from typing import Any

_CHAT = {
    "type": "object",
    "required": ["messages"],
    "properties": {
        "model": {"type": "string", "description": "auto, a tier, a model, or anything (see unknown_models)"},
        "messages": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "object", "required": ["role"], "properties": {"role": {"type": "string"}}},
        },
        "stream": {"type": "boolean"},
    },
}
_TEXT = {"oneOf": [{"type": "string", "minLength": 1}, {"type": "array", "minItems": 1, "items": {}}]}
_COMPLETION = {"type": "object", "required": ["prompt"], "properties": {"prompt": _TEXT}}
_EMBEDDING = {"type": "object", "required": ["input"], "properties": {"input": _TEXT}}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}


def hot_paths() -> dict[str, Any]:
    return {
        "/v1/chat/completions": _operation("Answer a chat, small model first", _CHAT, streams=True),
        "/v1/completions": _operation("Complete a text", _COMPLETION, streams=True),
        "/v1/embeddings": _operation("Embed texts", _EMBEDDING, streams=False),
    }


def _operation(summary: str, schema: dict[str, Any], *, streams: bool) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": {"type": "object"}}}
    if streams:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    return {
        "post": {
            "summary": summary,
            "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
            "responses": {
                "200": {"description": "The answer", "content": content},
                "default": {"description": "An error", "content": {"application/json": {"schema": _ERROR}}},
            },
        }
    }
