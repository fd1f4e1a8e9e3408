"""The OpenAPI document, written by hand: FastAPI sees neither the hot endpoints nor the errors of the others.

Bodies are open objects: unknown fields are welcome. Of the known ones only what the gateway checks itself is told.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_INT64 = {"type": ["integer", "null"], "minimum": -(2**63), "maximum": 2**63 - 1}
_NUMBER: Schema = {"type": ["number", "null"]}
_STRING: Schema = {"type": ["string", "null"]}
_FLAG: Schema = {"type": ["boolean", "null"]}
_OBJECT: Schema = {"type": ["object", "null"]}

_FIELDS: Schema = {
    "model": {**_STRING, "description": "auto, a tier, a model, router-NAME-THRESHOLD, or anything (unknown_models)"},
    "stream": _FLAG,
    "stream_options": _OBJECT,
    "max_tokens": _INT64,
    "max_completion_tokens": _INT64,
    "temperature": _NUMBER,
    "top_p": _NUMBER,
    "frequency_penalty": _NUMBER,
    "presence_penalty": _NUMBER,
    "seed": _INT64,
    "n": _INT64,
    "stop": {"type": ["string", "array", "null"]},
    "logprobs": {**_INT64, "type": ["boolean", "integer", "null"]},
    "top_logprobs": _INT64,
    "logit_bias": _OBJECT,
    "tools": {"type": ["array", "null"], "items": {"type": "object"}},
    "tool_choice": {"oneOf": [{"enum": ["none", "auto", "required", None]}, {"type": "object"}]},
    "parallel_tool_calls": _FLAG,
    "response_format": _OBJECT,
    "reasoning_effort": _STRING,
    "user": _STRING,
    "metadata": _OBJECT,
}
_PART = {"type": "object", "required": ["type"], "properties": {"type": {"type": "string"}}}
_MESSAGE = {
    "type": "object",
    "required": ["role"],
    "properties": {
        "role": {"type": "string"},
        "content": {"oneOf": [{"type": ["string", "null"]}, {"type": "array", "items": _PART}]},
    },
}
_TEXT = {"oneOf": [{"type": "string", "minLength": 1}, {"type": "array", "minItems": 1, "items": {}}]}


def _object(required: Schema, others: Schema | None = None) -> Schema:
    return {"type": "object", "required": list(required), "properties": {**required, **(others or {})}}


_ERROR = {"message": {"type": "string"}, "type": {"type": "string"}, "param": _STRING, "code": {"type": "string"}}
_CARD = {
    "id": {"type": "string"},
    "object": {"const": "model"},
    "created": {"type": "integer"},
    "owned_by": {"type": "string"},
}
_FALLBACKS = {"type": "array", "items": {"type": "string"}}
_DECISION = {
    "tier": {"type": "string"},
    "model": {"type": "string"},
    "backend": {"type": "string"},
    "score": {**_NUMBER, "minimum": 0, "maximum": 1},
    "threshold": {"type": "number"},
    "reason": {"type": "string"},
    "rule": _STRING,
    "estimate": {"type": "integer", "minimum": 0},
    "needs": _FALLBACKS,
    "fallbacks": _FALLBACKS,
    "router": {"type": "string"},
    "contributions": {"type": "array", "items": _object({"feature": {"type": "string"}, "value": {"type": "number"}})},
}
_READY = {
    "version": {"type": "string"},
    "router": {"type": "string"},
    "threshold": {"type": "number"},
    "config_error": _STRING,
    "backends": {"type": "object", "additionalProperties": {"type": "object"}},
}
_SCHEMAS: Schema = {
    "Chat": _object({"messages": {"type": "array", "minItems": 1, "items": _MESSAGE}}, _FIELDS),
    "Completion": _object({"prompt": _TEXT}, _FIELDS),
    "Embedding": _object({"input": _TEXT}, {"model": _FIELDS["model"], "user": _STRING}),
    "Choices": _object({"choices": {"type": "array", "minItems": 1, "items": {"type": "object"}}}),
    "Vectors": _object({"data": {"type": "array", "items": {"type": "object"}}}),
    "Decision": _object(_DECISION),
    "Model": _object(_CARD),
    "Models": _object({"object": {"const": "list"}, "data": {"type": "array", "items": _object(_CARD)}}),
    "Ready": _object({"status": {"type": "string"}}, _READY),
    "Error": _object({"error": _object(_ERROR)}),
}

_WHO = {"x-request-id": "Which request: the client's own id, or one of ours", "x-smallfirst-schema": "Always 1"}
_WHY = {"tier": "Whose backend answered", "backend": "Its name", "attempts": "How many were tried", "reason": "Why"}
_STATUSES = {
    400: "The request cannot succeed as it is, or the backend refused it",
    401: "No key, or one that is not known",
    403: "The key may not do that",
    404: "No such model",
    409: "The backend refused the request",
    413: "The body is too large",
    414: "The backend refused the request",
    415: "Not JSON, or compressed; or the backend refused the request",
    422: "The backend refused the request",
    429: "The backend has too many requests",
    431: "The head of the request is too large",
    500: "A bug of the gateway",
    502: "The backend failed",
    503: "Nobody can serve it now",
    504: "Too slow: the backend, or by the client's own deadline",
}
_ASKED = (400, 401, 403, 404, 413, 415, 431, 500)  # of whatever has a body and may choose
_WISHES: Schema = {
    "x-smallfirst-tier": {"type": "string", "minLength": 1, "description": "This tier first"},
    "x-smallfirst-local-only": {"enum": ["true", "false", "1", "0"], "description": "Backends of zone local only"},
    "x-smallfirst-deadline-ms": {"type": "integer", "minimum": 1, "maximum": 86_400_000},
    "x-session-id": {"type": "string", "description": "The conversation: once local-only, it stays so"},
    "x-request-id": {"type": "string", "description": "Repeated in the answer and the log"},
}
_KEYS: list[Schema] = [{"bearer": []}, {"header": []}, {}]  # the last: where the config has no keys


def paths() -> Schema:
    """Every operation under its name with `/v1`; those that have one are also served without it."""
    text = {"text/event-stream": {"schema": {"type": "string"}}}
    chat = _answer("Choices", _WHY, text)
    return {
        "/": {"get": _get("Name and version", _inline({"name": {"type": "string"}, "version": {"type": "string"}}))},
        "/health": {"get": _get("Is the process alive?", _inline({"status": {"const": "ok"}}))},
        "/ready": {"get": _get("Can it serve?", _answer("Ready"), not_now=_answer("Ready"))},
        "/metrics": {"get": _get("Prometheus metrics", _told({"text/plain": {"schema": {"type": "string"}}}), 403)},
        "/v1/models": {"get": _get("Every name that `model` may take", _answer("Models"), 401)},
        "/v1/models/{model_id}": {"get": _get("One of them", _answer("Model"), 401, 404), "parameters": [_MODEL_ID]},
        "/v1/route": {"post": _post("The decision alone, no model is asked", "Chat", _answer("Decision"), *_ASKED)},
        "/v1/chat/completions": {"post": _post("Answer a chat, small model first", "Chat", chat, *_STATUSES)},
        "/v1/completions": {"post": _post("Complete a text", "Completion", chat, *_STATUSES)},
        "/v1/embeddings": {"post": _post("Embed texts", "Embedding", _answer("Vectors", _WHY), *_STATUSES)},
    }


def components() -> Schema:
    return {
        "schemas": _SCHEMAS,
        "securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "x-api-key"},
        },
    }


_MODEL_ID = {
    "name": "model_id",
    "in": "path",
    "required": True,
    "description": "May hold slashes, but not at its end",
    "schema": {"type": "string", "minLength": 1, "pattern": "[^/]$"},
}


def _get(summary: str, answer: Schema, *statuses: int, not_now: Schema | None = None) -> Schema:
    responses = {"200": answer, **_errors((*statuses, 431, 500))}
    if not_now is not None:
        responses["503"] = not_now
    return {"summary": summary, "security": _KEYS, "responses": responses}


def _post(summary: str, body: str, answer: Schema, *statuses: int) -> Schema:
    wishes = [{"name": name, "in": "header", "schema": schema} for name, schema in _WISHES.items()]
    return {
        "summary": summary,
        "security": _KEYS,
        "parameters": wishes if body != "Embedding" else [one for one in wishes if one["name"] != "x-smallfirst-tier"],
        "requestBody": {"required": True, "content": {"application/json": {"schema": _ref(body)}}},
        "responses": {"200": answer, **_errors(statuses)},
    }


def _errors(statuses: tuple[int, ...]) -> Schema:
    error = {"application/json": {"schema": _ref("Error")}}
    return {str(status): {**_told(error), "description": _STATUSES[status]} for status in statuses}


def _answer(schema: str, headers: dict[str, str] | None = None, others: Schema | None = None) -> Schema:
    decision = {f"x-smallfirst-{name}": said for name, said in (headers or {}).items()}
    return _told({"application/json": {"schema": _ref(schema)}, **(others or {})}, decision)


def _inline(properties: Schema) -> Schema:
    return _told({"application/json": {"schema": _object(properties)}})


def _told(content: Schema, headers: dict[str, str] | None = None) -> Schema:
    named = {
        name: {"description": said, "required": True, "schema": {"type": "string"}}
        for name, said in {**_WHO, **(headers or {})}.items()
    }
    return {"description": "The answer", "headers": named, "content": content}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
