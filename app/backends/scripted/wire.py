"""The wire of each kind: how it spells a chunk, a whole answer, an error. Read off the servers' own sources."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from app.backends.scripted.answers import Answer
from app.backends.scripted.model import Kind, Model

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Style:
    """`whole_calls`: a tool call comes in one delta. `done`: the stream ends in [DONE]. `early`: the head of a
    stream comes before there is anything to say. `ping`: seconds of silence before a comment line.
    `opening`: the first delta, before any token. The others are fields that are always there.
    """

    reasoning: str | None
    whole_calls: bool
    done: bool = True
    usage_on_finish: bool = False
    call_finish: str = "tool_calls"
    honours_choice: bool = True
    honours_format: bool = True
    early: bool = False
    ping: float | None = None
    opening: Json | None = field(default_factory=lambda: {"role": "assistant", "content": ""})
    choice: Json = field(default_factory=dict)
    message: Json = field(default_factory=dict)
    usage: Json = field(default_factory=dict)


STYLES: dict[Kind, Style] = {
    "ollama": Style("reasoning", True, honours_choice=False, opening=None),
    "vllm": Style(
        "reasoning",
        False,
        early=True,
        choice={"logprobs": None, "stop_reason": None},
        message={"refusal": None, "annotations": None, "audio": None, "function_call": None},
        usage={"prompt_tokens_details": None},
    ),
    "llama-cpp": Style(
        "reasoning_content",
        False,
        early=True,
        ping=30.0,
        opening={"role": "assistant", "content": None},
        usage={"prompt_tokens_details": {"cached_tokens": 0}},
    ),
    "tgi": Style(None, False, call_finish="stop", early=True, ping=15.0, opening=None, choice={"logprobs": None}),
    "transformers": Style(
        "reasoning_content",
        True,
        done=False,
        usage_on_finish=True,
        honours_choice=False,
        honours_format=False,
        early=True,
    ),
    "openai": Style(
        None,
        False,
        opening={"role": "assistant", "content": "", "refusal": None},
        choice={"logprobs": None},
        message={"refusal": None, "annotations": []},
        usage={"prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0}},
    ),
}
_PIECE = 6  # characters of tool arguments per delta, where they come in pieces
_CREATED = 1767225600
ODD = (
    b'{"choices":[]}',
    b'{"id":"odd","object":"chat.completion.chunk"}',
    b'{"choices":[{"index":0,"finish_reason":null}]}',
)


class Wire:
    """Spells one answer. `number` is how many requests came before it, `prompt` the tokens that reached the model."""

    def __init__(self, model: Model, body: Json, number: int, said: Answer, *, prompt: int, chat: bool) -> None:
        self.model, self.body, self.chat = model, body, chat
        self.style = STYLES[model.imitates]
        self.head = self._head(model.imitates, number)
        self.call_id = f"call_{number:08x}"
        self.usage_on_finish = self.style.usage_on_finish or (model.imitates == "llama-cpp" and not chat)
        self.n = body.get("n") or 1
        self.asks_usage = (body.get("stream_options") or {}).get("include_usage") is True
        made = said.tokens * self.n
        counters = {"prompt_tokens": prompt, "completion_tokens": made, "total_tokens": prompt + made}
        self.usage: Json = {**counters, **self.style.usage}
        if model.imitates == "openai":
            self.usage["completion_tokens_details"] = {"reasoning_tokens": len(said.thoughts) * self.n}

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Of a whole answer."""
        named = [(b"content-type", b"application/json")]
        if self.model.imitates == "tgi":
            named.append((b"x-prompt-tokens", b"%d" % self.usage["prompt_tokens"]))
            named.append((b"x-generated-tokens", b"%d" % self.usage["completion_tokens"]))
        return named

    def whole(self, answer: Answer) -> bytes:
        choices = [self._whole_choice(answer, index) for index in range(self.n)]
        kind = "chat.completion" if self.chat else "text_completion"
        return orjson.dumps({**self.head, "object": kind, "choices": choices, "usage": self.usage, **self._timings()})

    def events(self, answer: Answer, *, ask_usage: bool) -> Iterator[tuple[bytes, int]]:
        """(payload, tokens in it) in order; the last ones carry finish reason and usage."""
        for index in range(self.n):
            yield from self._choice_events(answer, index)
        if ask_usage and not self.usage_on_finish:
            yield orjson.dumps(self._last(self.usage)), 0

    def _choice_events(self, answer: Answer, index: int) -> Iterator[tuple[bytes, int]]:
        if self.chat and self.style.opening is not None:
            yield self._chunk(self.style.opening, index), 0
        role = {} if self.style.opening is not None else {"role": "assistant"}
        spoken = self._thoughts_key()
        for thought in answer.thoughts if spoken else ():
            yield self._chunk({spoken: thought, **role}, index), 1
            role = self._role()
        for piece in answer.pieces:
            yield self._chunk({"content": piece, **role} if self.chat else piece, index, pieces=[piece]), 1
            role = self._role()
        if answer.call:
            yield from ((self._chunk({**delta, **role}, index), 1) for delta in self._calls(*answer.call))
        finish = self._finish(answer)
        usage = self.usage if self.usage_on_finish and index == self.n - 1 else None
        yield self._chunk(self._role_tgi() if self.chat else "", index, finish, usage=usage), 0

    def _whole_choice(self, answer: Answer, index: int) -> Json:
        choice: Json = {"index": index, **self.style.choice, "finish_reason": self._finish(answer)}
        text = "".join([*answer.thoughts, *answer.pieces] if self._thoughts_key() == "content" else answer.pieces)
        if self.chat:
            choice["message"] = self._message(answer, text)
        else:
            choice["text"] = text
        if self.body.get("logprobs"):
            choice["logprobs"] = self._logprobs(answer.pieces)
        return choice

    def _calls(self, name: str, arguments: str) -> Iterator[Json]:
        call: Json = {"index": 0, "id": self.call_id, "type": "function"}
        if self.style.whole_calls:
            yield {"tool_calls": [{**call, "function": {"name": name, "arguments": arguments}}]}
            return
        yield {"tool_calls": [{**call, "function": {"name": name, "arguments": ""}}]}
        for start in range(0, len(arguments), _PIECE):
            inner = {"arguments": arguments[start : start + _PIECE]}
            again = {**call, "function": {"name": None, **inner}} if self.model.imitates == "tgi" else None
            yield {"tool_calls": [again or {"index": 0, "function": inner}]}

    def _message(self, answer: Answer, text: str) -> Json:
        message: Json = {"role": "assistant", "content": text, **self.style.message}
        if answer.call:
            name, arguments = answer.call
            call = {"id": self.call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
            message |= {"content": "" if self.model.imitates in ("ollama", "llama-cpp") else None, "tool_calls": [call]}
        if answer.thoughts and self.style.reasoning:
            message[self.style.reasoning] = "".join(answer.thoughts)
        return message

    def _chunk(
        self,
        delta: Any,
        index: int,
        finish: str | None = None,
        usage: Json | None = None,
        pieces: list[str] | None = None,
    ) -> bytes:
        choice: Json = {"index": index, **self.style.choice, "finish_reason": finish}
        choice["delta" if self.chat else "text"] = delta
        if pieces and self.body.get("logprobs"):
            choice["logprobs"] = self._logprobs(pieces)
        chunk = {**self.head, "object": self._kind(), "choices": [choice]}
        if usage is not None:
            chunk["usage"] = usage
        elif self.model.imitates == "openai" and self.asks_usage:
            chunk["usage"] = None
        elif self.model.imitates == "ollama" and not self.chat and self.asks_usage:
            chunk["usage"] = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        return orjson.dumps(chunk)

    def _last(self, usage: Json) -> Json:
        return {**self.head, "object": self._kind(), "choices": [], "usage": usage, **self._timings()}

    def _logprobs(self, pieces: list[str]) -> Json:
        """Every token is said to be likely: what matters is the shape."""
        if not self.chat and self.model.imitates != "llama-cpp":  # which has the one form for both
            return {"tokens": pieces, "token_logprobs": [-0.25] * len(pieces), "top_logprobs": None, "text_offset": []}
        tokens = [{"token": one, "logprob": -0.25, "bytes": list(one.encode()), "top_logprobs": []} for one in pieces]
        return {"content": tokens}

    def _kind(self) -> str:
        return "chat.completion.chunk" if self.chat else "text_completion"

    def _thoughts_key(self) -> str | None:
        """TGI leaves thoughts in the text; OpenAI keeps them to itself."""
        return "content" if self.model.imitates == "tgi" else self.style.reasoning

    def _role(self) -> Json:
        """What stands in every delta after the first."""
        return {"role": "assistant"} if self.model.imitates == "tgi" else {}

    def _role_tgi(self) -> Json:
        return {"role": "assistant", "content": ""} if self.model.imitates == "tgi" else {}

    def _finish(self, answer: Answer) -> str:
        if answer.call and answer.finish != "length":
            named = self.model.imitates == "vllm" and isinstance(self.body.get("tool_choice"), dict)
            return "stop" if named else self.style.call_finish
        return "stop_sequence" if answer.stopped and self.model.imitates == "tgi" else answer.finish

    def _head(self, kind: Kind, number: int) -> Json:
        ids = {"ollama": f"chatcmpl-{number * 7 % 999}", "tgi": ""}
        name = self.body.get("model") or self.model.name
        head: Json = {"id": ids.get(kind, f"chatcmpl-{number:032x}"), "created": _CREATED, "model": name}
        if kind in ("ollama", "tgi", "openai", "llama-cpp"):
            head["system_fingerprint"] = f"fp_{kind}"
        return head

    def _timings(self) -> Json:
        if self.model.imitates != "llama-cpp":
            return {}
        sizes = {"prompt_n": self.usage["prompt_tokens"], "predicted_n": self.usage["completion_tokens"]}
        return {"timings": {"cache_n": 0, **sizes, "prompt_ms": 1.5, "predicted_ms": 1.5}}


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
        names[422] = "UnprocessableEntityError"
        kind_name = name or names.get(status, "InternalServerError")
        return orjson.dumps({"error": {"message": message, "type": kind_name, "param": None, "code": status, **more}})
    if kind == "llama-cpp":
        names = {401: "authentication_error", 501: "not_supported_error", 503: "unavailable_error"}
        fallback = names.get(status, "invalid_request_error" if status < 500 else "server_error")
        return orjson.dumps({"error": {"code": status, "message": message, "type": name or fallback, **more}})
    code = name or {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}.get(status)
    sort = "server_error" if status >= 500 else "rate_limit_error" if status == 429 else "invalid_request_error"
    return orjson.dumps({"error": {"message": message, "type": sort, "param": None, "code": code}})


def stream_error(kind: Kind, message: str) -> bytes:
    """The payload of an error event inside a 200 stream; Ollama swallows its own into an empty chunk."""
    if kind == "ollama":
        delta = {"role": "assistant", "content": ""}
        return orjson.dumps({"id": "chatcmpl-1", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    if kind == "transformers":
        return orjson.dumps({"error": message})
    if kind == "tgi":
        return orjson.dumps({"error": {"message": message, "http_status_code": 500}})
    return error(kind, 500, message)
