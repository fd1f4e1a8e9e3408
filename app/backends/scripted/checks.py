"""What a real server of each kind refuses, and in which words; and what Ollama cuts without a word."""

from __future__ import annotations

from typing import Any

from app.backends.scripted.model import Model
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


def refusal(body: Json, model: Model, chat: bool) -> Refusal | None:
    """The status and body of a refusal, None if it would be answered."""
    if body.get("model") != model.name and model.imitates in ("ollama", "vllm", "openai"):
        words = {"ollama": "model '{}' not found", "vllm": "The model `{}` does not exist."}
        text = words.get(model.imitates, "The model '{}' does not exist").format(body.get("model"))
        return 404, error(model.imitates, 404, text)
    check = {"ollama": _ollama, "tgi": _tgi, "transformers": _transformers}.get(model.imitates)
    return check(body, model, chat) if check else None


def overflow(tokens: int, body: Json, model: Model) -> Refusal | None:
    """What is said about a prompt that does not fit; None where it fits, or is cut in silence."""
    window, kind = model.context_window, model.imitates
    if tokens < window or kind == "ollama":
        return None
    if kind == "vllm":
        text = f"This model's maximum context length is {window} tokens. However, your prompt contains {tokens} input "
        return 400, error(kind, 400, text + "tokens. Please reduce the length of the input prompt.")
    if kind == "llama-cpp":
        text = f"the request exceeds the available context size ({window} tokens), try increasing it"
        return 400, error(kind, 400, text, "exceed_context_size_error", n_prompt_tokens=tokens, n_ctx=window)
    if kind == "tgi":
        limit = body.get("max_tokens") or 100
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
