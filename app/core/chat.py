"""A read-only view of one OpenAI request body.

The body is parsed once and never re-modelled: unknown fields stay where they are. This file checks only
what the gateway itself relies on (shape of messages, types of well-known fields) so that a bad body is a
400 that names the field, not a surprise in a backend. What the request needs of a backend is read off here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.core.tokens import prompt_tokens
from app.core.types import Api, Capability
from app.errors import InvalidRequest

_NUMBER = (int, float)
# Types of fields that a backend would otherwise answer with a 500 or silently misread; null is allowed.
_TYPES: Mapping[str, tuple[type, ...]] = {
    "model": (str,),
    "stream": (bool,),
    "stream_options": (dict,),
    "max_tokens": (int,),
    "max_completion_tokens": (int,),
    "temperature": _NUMBER,
    "top_p": _NUMBER,
    "frequency_penalty": _NUMBER,
    "presence_penalty": _NUMBER,
    "seed": (int,),
    "n": (int,),
    "stop": (str, list),
    "logprobs": (bool, int),
    "top_logprobs": (int,),
    "logit_bias": (dict,),
    "tools": (list,),
    "tool_choice": (str, dict),
    "parallel_tool_calls": (bool,),
    "response_format": (dict,),
    "reasoning_effort": (str,),
    "user": (str,),
    "metadata": (dict,),
}
_WORDS = {
    str: "a string",
    bool: "true or false",
    int: "an integer",
    float: "a number",
    dict: "an object",
    list: "an array",
}
_REQUIRED: Mapping[Api, str] = {"chat": "messages", "completion": "prompt", "embedding": "input"}
_PART_NEEDS: Mapping[str, Capability] = {"image_url": "vision", "input_audio": "audio"}
_FORMAT_NEEDS: Mapping[str, Capability] = {"json_object": "json_object", "json_schema": "json_schema"}


class ChatRequest:
    """One request body of any of the three generating APIs.

    `size` is the length of the body in bytes. Raises InvalidRequest from the constructor.
    """

    __slots__ = ("_estimate", "api", "body", "needs", "size", "stream", "wants_usage")

    def __init__(self, api: Api, body: object, size: int = 0) -> None:
        if not isinstance(body, dict):
            raise InvalidRequest("The request body must be a JSON object.")
        _check_types(body)
        _check_required(api, body)
        self.api: Api = api
        self.body: dict[str, Any] = body
        self.size = size
        self.stream: bool = body.get("stream") is True and api != "embedding"
        options = body.get("stream_options")
        self.wants_usage: bool = self.stream and isinstance(options, dict) and options.get("include_usage") is True
        self.needs: frozenset[Capability] = frozenset(_needs(api, body))
        self._estimate: int | None = None

    @property
    def model(self) -> str:
        return self.body.get("model") or "auto"

    @property
    def messages(self) -> list[dict[str, Any]]:
        return self.body["messages"] if self.api == "chat" else []

    @property
    def tools(self) -> list[dict[str, Any]]:
        return self.body.get("tools") or [] if self.api == "chat" else []

    @property
    def max_output(self) -> int:
        """Tokens the client allows for the answer, 0 if it does not say."""
        return self.body.get("max_completion_tokens") or self.body.get("max_tokens") or 0

    def texts(self) -> Iterator[str]:
        """All text that becomes prompt: contents, text parts, tool arguments; in order."""
        if self.api != "chat":
            yield from _strings(self.body[_REQUIRED[self.api]])
        for message in self.messages:
            yield from _content_texts(message.get("content"))
            yield from _call_texts(message.get("tool_calls"))

    def estimated_tokens(self) -> int:
        """Prompt tokens as guessed from the text, counted once. Images and audio are not in it."""
        if self._estimate is None:
            given = 0 if self.api == "chat" else _given_tokens(self.body[_REQUIRED[self.api]])
            self._estimate = given + prompt_tokens(self.texts(), len(self.messages), self.tools)
        return self._estimate


def _check_types(body: dict[str, Any]) -> None:
    for name, value in body.items():
        allowed = _TYPES.get(name)
        if allowed is None or value is None or isinstance(value, allowed):
            if value.__class__ is bool and allowed is not None and bool not in allowed:
                raise _wrong_type(name, allowed)
            continue
        raise _wrong_type(name, allowed)


def _wrong_type(name: str, allowed: tuple[type, ...]) -> InvalidRequest:
    words = "a number" if allowed == _NUMBER else " or ".join(_WORDS[kind] for kind in allowed)
    return InvalidRequest(f"'{name}' must be {words}.", param=name)


def _check_required(api: Api, body: dict[str, Any]) -> None:
    field = _REQUIRED[api]
    value = body.get(field)
    if value is None:
        raise InvalidRequest(f"'{field}' is missing.", param=field)
    if api == "chat":
        _check_messages(value)
        _check_tools(body)
    elif not isinstance(value, str | list) or not value:
        raise InvalidRequest(f"'{field}' must be a non-empty string or array.", param=field)


def _check_messages(messages: object) -> None:
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest("'messages' must be a non-empty array.", param="messages")
    for index, message in enumerate(messages):
        at = f"messages[{index}]"
        if not isinstance(message, dict):
            raise InvalidRequest(f"'{at}' must be an object.", param=at)
        if not isinstance(message.get("role"), str):
            raise InvalidRequest(f"'{at}.role' must be a string.", param=f"{at}.role")
        content = message.get("content")
        if content is None or content.__class__ is str:
            continue
        if not isinstance(content, list):
            raise InvalidRequest(f"'{at}.content' must be a string, an array of parts or null.", param=f"{at}.content")
        for number, part in enumerate(content):
            if not isinstance(part, dict) or not isinstance(part.get("type"), str):
                where = f"{at}.content[{number}]"
                raise InvalidRequest(f"'{where}' must be an object with a 'type'.", param=where)


def _check_tools(body: dict[str, Any]) -> None:
    for index, tool in enumerate(body.get("tools") or ()):
        if not isinstance(tool, dict):
            raise InvalidRequest(f"'tools[{index}]' must be an object.", param=f"tools[{index}]")
    choice = body.get("tool_choice")
    if isinstance(choice, str) and choice not in ("none", "auto", "required"):
        raise InvalidRequest(
            "'tool_choice' must be none, auto, required or an object that names a function.",
            param="tool_choice",
        )
    if isinstance(choice, dict) and choice.get("type", "function") == "function" and named_tool(body) is None:
        raise InvalidRequest("'tool_choice' names a function that is not in 'tools'.", param="tool_choice")


def named_tool(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """The one tool that `tool_choice` forces: named, or required when there is a single tool; else None."""
    tools: list[dict[str, Any]] = body.get("tools") or []
    choice = body.get("tool_choice")
    if choice == "required" and len(tools) == 1:
        only = tools[0]
        return only if isinstance(only.get("function"), dict) else None
    wanted = choice.get("function") if isinstance(choice, dict) else None
    name = wanted.get("name") if isinstance(wanted, dict) else None
    for tool in tools:
        function = tool.get("function")
        if name is not None and isinstance(function, dict) and function.get("name") == name:
            return tool
    return None


def _needs(api: Api, body: dict[str, Any]) -> Iterator[Capability]:
    if api == "chat":
        yield from _message_needs(body["messages"])
        if body.get("tools"):
            yield from _tool_needs(body)
    else:
        yield from _prompt_needs(body[_REQUIRED[api]])
    if (body.get("n") or 1) > 1:
        yield "n"
    wanted = (body.get("response_format") or {}).get("type")
    if isinstance(wanted, str) and wanted in _FORMAT_NEEDS:
        yield _FORMAT_NEEDS[wanted]
        if api == "chat" and body.get("tools"):
            yield "tools_with_format"
    if body.get("logprobs"):
        yield "logprobs"


def _message_needs(messages: list[dict[str, Any]]) -> Iterator[Capability]:
    for message in messages:
        content = message.get("content")
        if content.__class__ is list:
            for part in content:
                need = _PART_NEEDS.get(part["type"])
                if need == "vision" and _is_remote(part.get("image_url")):
                    yield "vision_url"
                if need:
                    yield need


def _is_remote(image: object) -> bool:
    """Is the image to be fetched by the backend, rather than sent along?"""
    url = image.get("url") if isinstance(image, dict) else image
    return isinstance(url, str) and url[:4].lower() == "http"


def _tool_needs(body: dict[str, Any]) -> Iterator[Capability]:
    choice = body.get("tool_choice")
    if choice == "none":
        yield "tool_choice.none"
        return
    yield "tools"
    if named_tool(body) is not None:
        yield "tool_choice.named"
    elif choice == "required":
        yield "tool_choice.required"


def _prompt_needs(prompt: str | list[Any]) -> Iterator[Capability]:
    if isinstance(prompt, list):
        if not all(isinstance(item, str) for item in prompt):
            yield "token_prompt"
        elif len(prompt) > 1:
            yield "prompt_list"


def _content_texts(content: object) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            text = part.get("text")
            if isinstance(text, str):
                yield text


def _call_texts(calls: object) -> Iterator[str]:
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        arguments = function.get("arguments") if isinstance(function, dict) else None
        if isinstance(arguments, str):
            yield arguments


def _given_tokens(prompt: str | list[Any]) -> int:
    """How many tokens a prompt holds that was sent as tokens, one array or many."""
    if isinstance(prompt, str):
        return 0
    return sum(len(item) if isinstance(item, list) else item.__class__ is int for item in prompt)


def _strings(value: str | list[Any]) -> Iterator[str]:
    yield from [value] if isinstance(value, str) else [item for item in value if isinstance(item, str)]
