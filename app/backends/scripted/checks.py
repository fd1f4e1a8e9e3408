"""What a real server of each kind refuses, and in which words; and what Ollama cuts without a word."""

from __future__ import annotations

from typing import Any

from app.backends.scripted.model import Fault, Kind, Model
from app.backends.scripted.wire import error

Json = dict[str, Any]
Refusal = tuple[int, bytes]

_FIELDS = """
    messages model audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens
    max_tokens metadata modalities n parallel_tool_calls prediction presence_penalty prompt reasoning_effort
    response_format seed service_tier stop store stream stream_options temperature tool_choice tools
    top_logprobs top_p user web_search_options generation_config chat_template_kwargs best_of echo suffix
"""
_TRANSFORMERS = frozenset(_FIELDS.split())
_NEWER = "moderation prompt_cache_key prompt_cache_options prompt_cache_retention safety_identifier verbosity"
_OPENAI = _TRANSFORMERS - {"generation_config", "chat_template_kwargs"} | frozenset(_NEWER.split())
_EFFORTS = frozenset({"none", "minimal", "low", "medium", "high", "xhigh", "ultra", "max"})
# What a server drops without a word. Its model never sees it.
_IGNORED: dict[Kind, tuple[str, ...]] = {
    "ollama": ("max_completion_tokens", "n", "parallel_tool_calls"),
    "tgi": ("n", "parallel_tool_calls", "reasoning_effort"),
    "transformers": ("n", "logprobs", "top_logprobs", "stream_options", "reasoning_effort"),
}
_MOST_CHOICES = {"vllm": 16_384, "openai": 128}
_REFUSALS = {
    Fault.REFUSE_403: (403, "You may not do that."),
    Fault.MODEL_404: (404, "model 'x' not found"),
    Fault.REJECT_400: (400, "temperature must be at most 2"),
    Fault.UNPROCESSABLE_422: (422, "temperature must be at most 2"),
    Fault.BUSY_429: (429, "Model is overloaded"),
    Fault.LIMIT_429: (429, "Model is overloaded"),
    Fault.ERROR_500: (500, "CUDA error: out of memory"),
    Fault.BUSY_503: (503, "server busy, please try again.  maximum pending requests exceeded"),
    Fault.LOADING_503: (503, "Loading model"),
}
PAGE = b"<html><body><h1>Bad Gateway</h1></body></html>"
_BODIES_200 = {Fault.EMPTY_200: b"", Fault.HALF_JSON_200: b'{"id": "x", "choi'}
Headers = list[tuple[bytes, bytes]]


def faulty(fault: Fault, kind: Kind, authorization: str) -> tuple[int, bytes, Headers]:
    """The whole answer of a fault that is one: status, body, headers."""
    json: Headers = [(b"content-type", b"application/json")]
    html: Headers = [(b"content-type", b"text/html")]
    if fault is Fault.REFUSE_401:
        return 401, error(kind, 401, f"Incorrect API key provided: {authorization}"), json
    if fault in _REFUSALS:
        status, text = _REFUSALS[fault]
        retry = [(b"retry-after", b"7")] if fault is Fault.BUSY_429 else []
        return status, error(kind, status, text), [*json, *retry]
    if fault is Fault.REDIRECT_307:
        return 307, b"", [(b"location", b"http://elsewhere.invalid/v1/chat/completions")]
    if fault in (Fault.HTML_502, Fault.HTML_200):
        return (502 if fault is Fault.HTML_502 else 200), PAGE, html
    status = 503 if kind == "transformers" else 500  # what has `error` for its key there
    return 200, _BODIES_200.get(fault, error(kind, status, "the runner process has terminated")), json


def as_understood(body: Json, model: Model) -> Json:
    """The body as far as the server takes notice of it. Ollama makes one message of each part of a content."""
    known = {name: value for name, value in body.items() if name not in _IGNORED.get(model.imitates, ())}
    if model.imitates == "ollama" and "messages" in body:
        known["messages"] = [one for message in body["messages"] for one in _split(message)]
    if model.imitates == "llama-cpp":
        _choose_like_llama(known)
    return known


def _choose_like_llama(known: Json) -> None:
    """`tool_choice` is a word there, anything else is as if it was not given; an answer in a format is no call."""
    if isinstance(known.get("tool_choice"), dict):
        del known["tool_choice"]
    if (known.get("response_format") or {}).get("type") in ("json_object", "json_schema"):
        known["tool_choice"] = "none"


def is_tokens(given: Any) -> bool:
    """Is a prompt or an input one array of token numbers?"""
    return isinstance(given, list) and all(isinstance(one, int) for one in given)


def embedding_refusal(body: Json, model: Model) -> Refusal | None:
    kind, given = model.imitates, body.get("input")
    if kind in ("tgi", "transformers"):
        return 404, error(kind, 404, "Not Found")
    if not given or not isinstance(given, str | list):
        return 400, error(kind, 400, "invalid input")
    if kind == "ollama" and isinstance(given, list) and not all(isinstance(one, str) for one in given):
        return 400, error(kind, 400, "invalid input type")
    return None


def misshapen(model: Model) -> Refusal:
    """About a body that is JSON, but not of the types that the API has."""
    status = 422 if model.imitates in ("tgi", "transformers") else 400
    return status, error(model.imitates, status, "the request has a field of a wrong type")


def refusal(body: Json, model: Model, chat: bool) -> Refusal | None:
    """The status and body of a refusal, None if it would be answered."""
    if body.get("model") != model.name and model.imitates in ("ollama", "vllm", "openai"):
        words = {"ollama": "model '{}' not found", "vllm": "The model `{}` does not exist."}
        text = words.get(model.imitates, "The model '{}' does not exist").format(body.get("model"))
        return 404, error(model.imitates, 404, text)
    needed = "messages" if chat else "prompt"
    if not body.get(needed) or not isinstance(body[needed], list if chat else str | list):
        status = 422 if model.imitates in ("tgi", "transformers") else 400
        return status, error(model.imitates, status, f"{needed}: field required")
    check = {
        "ollama": _ollama,
        "vllm": _vllm,
        "llama-cpp": _llama,
        "tgi": _tgi,
        "transformers": _transformers,
        "openai": _openai,
    }.get(model.imitates)
    return check(body, model, chat) if check else None


def overflow(tokens: int, body: Json, model: Model) -> Refusal | None:
    """What is said about a prompt that does not fit; None where it fits, or is cut in silence."""
    window, kind = model.context_window, model.imitates
    limit = (body.get("max_tokens") or body.get("max_completion_tokens") or 0) if kind == "tgi" else 0
    if tokens + limit < window or kind == "ollama":
        return None
    if kind == "vllm":
        text = f"This model's maximum context length is {window} tokens. However, your prompt contains {tokens} input "
        return 400, error(kind, 400, text + "tokens. Please reduce the length of the input prompt.")
    if kind == "llama-cpp":
        text = f"request ({tokens} tokens) exceeds the available context size ({window} tokens), try increasing it"
        return 400, error(kind, 400, text, "exceed_context_size_error", n_prompt_tokens=tokens, n_ctx=window)
    if kind == "tgi":
        text = f"Input validation error: `inputs` tokens + `max_new_tokens` must be <= {window}. "
        return 422, error(kind, 422, text + f"Given: {tokens} `inputs` tokens and {limit} `max_new_tokens`")
    if kind == "transformers":
        return 400, error(kind, 400, f"Input length exceeds the context window: {tokens} is longer than the maximum")
    text = (
        f"This model's maximum context length is {window} tokens. However, your messages resulted in {tokens} tokens."
    )
    return 400, error(kind, 400, text, "context_length_exceeded")


def thinks(body: Json, model: Model) -> bool:
    """A thinking model thinks unless it is told not to."""
    if not model.thinks:
        return False
    template = body.get("chat_template_kwargs") or {}
    if model.imitates in ("vllm", "transformers", "llama-cpp") and template.get("enable_thinking") is False:
        return False
    return model.imitates == "transformers" or body.get("reasoning_effort") != "none"


def _ollama(body: Json, model: Model, chat: bool) -> Refusal | None:
    text = None
    if body.get("tools") and not model.tools:
        text = f"registry.ollama.ai/library/{model.name} does not support tools"
    if body.get("reasoning_effort") not in (None, "none") and not model.thinks:
        text = f'"{model.name}" does not support thinking'
    if body.get("reasoning_effort") is not None and body["reasoning_effort"] not in _EFFORTS:
        text = f"invalid reasoning value: '{body['reasoning_effort']}'"
    if not chat and not isinstance(body.get("prompt"), str):
        text = "json: cannot unmarshal array into Go struct field CompletionRequest.prompt of type string"
    for message in body.get("messages") or []:
        if message.get("content") is None and not message.get("tool_calls"):
            text = "invalid message content type: <nil>"
        for part in message["content"] if isinstance(message.get("content"), list) else []:
            if part.get("type") == "image_url" and not str((part.get("image_url") or {}).get("url")).startswith(
                "data:"
            ):
                text = "invalid image input"
    return (400, error("ollama", 400, text)) if text else None


def _split(message: Json) -> list[Json]:
    content = message.get("content")
    return [{**message, "content": [part]} for part in content] if isinstance(content, list) else [message]


def _vllm(body: Json, model: Model, chat: bool) -> Refusal | None:
    text = None
    if body.get("stream_options") and body.get("stream") is not True:
        text = "Stream options can only be defined when `stream=True`."
    if body.get("tools") and body.get("tool_choice", "auto") == "auto" and not model.tool_parser:
        text = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
    if body.get("n") is not None and not 1 <= body["n"] <= _MOST_CHOICES["vllm"]:
        text = f"n must be at least 1 and at most {_MOST_CHOICES['vllm']}, got {body['n']}."
    return (400, error("vllm", 400, text)) if text else None


def _llama(body: Json, model: Model, chat: bool) -> Refusal | None:
    text = None
    if (body.get("n") or 1) > model.slots:
        text = f"Field 'n': Value must be between 1 <= value <= {model.slots}, but got {body['n']}"
    if body.get("logprobs") and body.get("tools") and body.get("stream"):
        text = "logprobs is not supported with tools + stream"
    return (400, error("llama-cpp", 400, text)) if text else None


def _openai(body: Json, model: Model, chat: bool) -> Refusal | None:
    unknown = sorted(body.keys() - _OPENAI)
    if unknown:
        return 400, error("openai", 400, f"Unrecognized request argument supplied: {unknown[0]}")
    if body.get("stream_options") and body.get("stream") is not True:
        return 400, error("openai", 400, "'stream_options' is only allowed when 'stream' is enabled.")
    if body.get("n") is not None and not 1 <= body["n"] <= _MOST_CHOICES["openai"]:
        return 400, error("openai", 400, f"Invalid 'n': must be from 1 to {_MOST_CHOICES['openai']}.")
    return None


def _tgi(body: Json, model: Model, chat: bool) -> Refusal | None:
    text = None
    wanted = body.get("response_format")
    if isinstance(body.get("stop"), str):
        text = (
            "Failed to deserialize the JSON body into the target type: stop: invalid type: string, expected a sequence"
        )
    if wanted is not None and "value" not in wanted:
        text = "Failed to deserialize the JSON body into the target type: response_format: missing field `value`"
    if wanted is not None and body.get("tools"):
        text = "Grammar and tools are mutually exclusive"
    if "max_tokens" in body and "max_completion_tokens" in body:
        text = "Failed to deserialize the JSON body into the target type: duplicate field `max_tokens`"
    return (422, error("tgi", 422, text)) if text else None


def _transformers(body: Json, model: Model, chat: bool) -> Refusal | None:
    unknown = sorted(body.keys() - _TRANSFORMERS)
    if not unknown:
        return None
    return 422, error("transformers", 422, f"Unexpected fields in the request: {unknown}")
