"""The wire of each kind: how it spells a chunk, a whole answer, an error. Read off the servers' own sources."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from app.backends.scripted.answers import Answer
from app.backends.scripted.model import Kind, Model

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Style:
    """`whole_calls`: a tool call comes in one delta. `done`: the stream ends in [DONE]."""

    reasoning: str | None
    whole_calls: bool
    done: bool = True
    usage_on_finish: bool = False
    call_finish: str = "tool_calls"
    honours_choice: bool = True
    honours_format: bool = True


STYLES: dict[Kind, Style] = {
    "ollama": Style("reasoning", True, honours_choice=False),
    "vllm": Style("reasoning", False),
    "llama-cpp": Style("reasoning_content", False),
    "tgi": Style(None, False, call_finish="stop"),
    "transformers": Style(
        "reasoning_content", True, done=False, usage_on_finish=True, honours_choice=False, honours_format=False
    ),
    "openai": Style(None, False),
}
_PIECE = 6  # characters of tool arguments per delta, where they come in pieces


class Wire:
    """Spells one answer. `number` is how many came before it."""

    def __init__(self, model: Model, body: Json, number: int, usage: Json, chat: bool) -> None:
        self.model, self.body, self.usage, self.chat = model, body, usage, chat
        self.style = STYLES[model.imitates]
        self.head = self._head(model.imitates, number)

    def whole(self, answer: Answer) -> bytes:
        choice: Json = {"index": 0, "finish_reason": self._finish(answer)}
        text = "".join(answer.pieces)
        if self.chat:
            choice["message"] = self._message(answer, text)
        else:
            choice["text"] = text
        if self.model.imitates == "vllm":
            choice["stop_reason"] = None
        kind = "chat.completion" if self.chat else "text_completion"
        return orjson.dumps({**self.head, "object": kind, "choices": [choice], "usage": self.usage, **self._extras()})

    def events(self, answer: Answer, *, ask_usage: bool) -> Iterator[tuple[bytes, int]]:
        """(payload, tokens in it) in order; the last ones carry finish reason and usage."""
        if self.chat and self.model.imitates != "ollama":
            yield self._chunk({"role": "assistant", "content": ""}), 0
        for thought in answer.thoughts:
            if self.style.reasoning:
                yield self._chunk({self.style.reasoning: thought, **self._role()}), 1
        for piece in answer.pieces:
            yield self._chunk({"content": piece, **self._role()} if self.chat else piece), 1
        if answer.call:
            yield from ((self._chunk(delta), 1) for delta in self._calls(*answer.call))
        finish = self._finish(answer)
        if self.style.usage_on_finish:
            yield self._chunk({}, finish, usage=self.usage), 0
            return
        yield self._chunk({} if self.chat else "", finish), 0
        if ask_usage:
            yield orjson.dumps({**self.head, "object": self._kind(), "choices": [], "usage": self.usage}), 0

    def _calls(self, name: str, arguments: str) -> Iterator[Json]:
        call: Json = {"index": 0, "id": "call_ab12cd34", "type": "function"}
        if self.style.whole_calls:
            yield {"tool_calls": [{**call, "function": {"name": name, "arguments": arguments}}], **self._role()}
            return
        yield {"tool_calls": [{**call, "function": {"name": name, "arguments": ""}}]}
        for start in range(0, len(arguments), _PIECE):
            inner = {"arguments": arguments[start : start + _PIECE]}
            again = {**call, "function": {"name": None, **inner}} if self.model.imitates == "tgi" else None
            yield {"tool_calls": [again or {"index": 0, "function": inner}]}

    def _message(self, answer: Answer, text: str) -> Json:
        message: Json = {"role": "assistant", "content": text}
        if answer.call:
            name, arguments = answer.call
            call = {"id": "call_ab12cd34", "type": "function", "function": {"name": name, "arguments": arguments}}
            message |= {"content": "" if self.model.imitates == "ollama" else None, "tool_calls": [call]}
        if answer.thoughts and self.style.reasoning:
            message[self.style.reasoning] = "".join(answer.thoughts)
        if self.model.imitates == "vllm":
            message |= {"refusal": None, "annotations": None, "audio": None}
        return message

    def _chunk(self, delta: Any, finish: str | None = None, usage: Json | None = None) -> bytes:
        choice: Json = {"index": 0, "finish_reason": finish}
        choice["delta" if self.chat else "text"] = delta
        if self.model.imitates == "vllm":
            choice |= {"logprobs": None, "stop_reason": None}
        chunk = {**self.head, "object": self._kind(), "choices": [choice]}
        if usage is not None:
            chunk["usage"] = usage
        elif self.model.imitates == "ollama" and not self.chat:
            chunk["usage"] = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        return orjson.dumps(chunk)

    def _kind(self) -> str:
        return "chat.completion.chunk" if self.chat else "text_completion"

    def _role(self) -> Json:
        return {"role": "assistant"} if self.model.imitates in ("ollama", "tgi") else {}

    def _finish(self, answer: Answer) -> str:
        return self.style.call_finish if answer.call else answer.finish

    def _head(self, kind: Kind, number: int) -> Json:
        ids = {"ollama": f"chatcmpl-{number * 7 % 999}", "tgi": ""}
        head: Json = {"id": ids.get(kind, f"chatcmpl-{number:032x}"), "created": 1767225600, "model": self.model.name}
        if kind in ("ollama", "tgi", "openai"):
            head["system_fingerprint"] = f"fp_{kind}"
        return head

    def _extras(self) -> Json:
        if self.model.imitates != "llama-cpp":
            return {}
        return {"timings": {"cache_n": 0, "prompt_n": self.usage["prompt_tokens"], "predicted_ms": 1.5}}


def error(kind: Kind, status: int, message: str, name: str = "", **more: Any) -> bytes:
    """An error body in the kind's own shape."""
    if kind == "tgi":
        names = {429: "overloaded", 422: "validation", 424: "generation"}
        return orjson.dumps({"error": message, "error_type": name or names.get(status, "generation")})
    if kind == "transformers":
        return orjson.dumps({"error": message} if status == 503 else {"detail": message})
    if kind == "ollama":
        names = {400: "invalid_request_error", 404: "not_found_error"}
        body: Json = {"message": message, "type": names.get(status, "api_error"), "param": None, "code": None}
        return orjson.dumps({"error": body})
    if kind == "vllm":
        if status == 401:
            return orjson.dumps({"error": "Unauthorized"})
        names = {400: "BadRequestError", 404: "NotFoundError", 503: "ServiceUnavailableError"}
        kind_name = name or names.get(status, "InternalServerError")
        return orjson.dumps({"error": {"message": message, "type": kind_name, "param": None, "code": status, **more}})
    if kind == "llama-cpp":
        return orjson.dumps({"error": {"code": status, "message": message, "type": name or "server_error", **more}})
    code = name or {401: "invalid_api_key", 404: "model_not_found"}.get(status)
    return orjson.dumps({"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}})


def stream_error(kind: Kind, message: str) -> bytes:
    """The payload of an error event inside a 200 stream; Ollama swallows its own into an empty chunk."""
    if kind == "ollama":
        delta = {"role": "assistant", "content": ""}
        return orjson.dumps({"id": "chatcmpl-1", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    if kind == "transformers":
        return orjson.dumps({"error": message})
    if kind == "tgi":
        return orjson.dumps({"error": {"message": message, "http_status_code": 500}})
    return orjson.dumps({"error": {"message": message, "type": "InternalServerError", "code": 500}})
