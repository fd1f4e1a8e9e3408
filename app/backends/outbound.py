"""From the client's body to the body one backend understands, by its table of quirks. Pure.

The client's body is never changed: another backend may get it next. What is sent differs from it only by a
rule; a field that the backend ignores is reported to `note`, so that operators see what their users miss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from app.backends.quirks import Quirks
from app.core.chat import ChatRequest, named_tool

Body = dict[str, Any]
Note = Callable[[str], None]
Thinking = Mapping[str, Any]  # fields that set the default effort, empty if there is nothing to set


def outbound(request: ChatRequest, model: str, quirks: Quirks, thinking: Thinking, note: Note) -> Body:
    """`model` is the id the backend knows; `thinking` is used only where the client says nothing about it."""
    body: Body = {**request.body, "model": model}
    if request.api == "embedding":
        return body
    _usage(body, request, quirks)
    for name, there in quirks.rename:
        if name in body:
            body[there] = body.pop(name)
    if request.api == "chat":
        _chat(body, quirks, note)
    elif isinstance(body["prompt"], list) and len(body["prompt"]) == 1 and isinstance(body["prompt"][0], str):
        body["prompt"] = body["prompt"][0]
    if quirks.stop == "list" and isinstance(body.get("stop"), str):
        body["stop"] = [body["stop"]]
    if thinking and request.api == "chat" and not _says_effort(body):
        body.update(thinking)
    return _filtered(body, quirks, note)


def thinking_fields(quirks: Quirks, reasoning: str, thinks: bool | None) -> Thinking:
    """How a backend is told to think less by default. A model known not to think is left alone."""
    if reasoning == "pass" or thinks is False or quirks.effort == "none":
        return {}
    if quirks.effort == "template":
        return {"chat_template_kwargs": {"enable_thinking": False}} if reasoning == "off" else {}
    if reasoning == "low" and thinks is None:
        return {}  # an effort is an error for a model that does not think; "none" is not
    return {"reasoning_effort": "none" if reasoning == "off" else "low"}


def forced_function(request: ChatRequest, quirks: Quirks) -> str | None:
    """The name of the function whose call is emulated by a response format, if it is."""
    if quirks.tool_choice or request.api != "chat":
        return None
    tool = named_tool(request.body)
    return tool["function"]["name"] if tool else None


def _usage(body: Body, request: ChatRequest, quirks: Quirks) -> None:
    if not request.stream or quirks.usage == "always":
        body.pop("stream_options", None)  # an error without a stream on some, without a meaning on others
    else:
        body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}


def _chat(body: Body, quirks: Quirks, note: Note) -> None:
    body["messages"] = [_message(message, quirks) for message in body["messages"]]
    if not quirks.tool_choice and "tool_choice" in body:
        _emulate_choice(body, note)
    wanted = body.get("response_format")
    if wanted is not None and quirks.formats == "value":
        _tag_by_value(body, wanted)


def _message(message: Body, quirks: Quirks) -> Body:
    """The same object unless a rule applies."""
    if message["role"] == "developer" and not quirks.developer:
        message = {**message, "role": "system"}
    content = message.get("content")
    if not quirks.text_parts and content.__class__ is list and all(part["type"] == "text" for part in content):
        message = {**message, "content": "\n".join(str(part.get("text") or "") for part in content)}
    if message["role"] == "assistant":
        other = "reasoning" if quirks.reasoning == "reasoning_content" else "reasoning_content"
        if other in message and quirks.reasoning not in message:
            message = {**message, quirks.reasoning: message[other]}
            del message[other]
    return message


def _emulate_choice(body: Body, note: Note) -> None:
    choice = body.pop("tool_choice")
    tool = named_tool({**body, "tool_choice": choice})
    if choice == "none":
        body.pop("tools", None)
        body.pop("parallel_tool_calls", None)
    elif tool is not None:
        function = tool["function"]
        schema = function.get("parameters") or {"type": "object"}
        body["tools"] = [tool]
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": function["name"], "schema": schema}}
        body.pop("parallel_tool_calls", None)  # there is one call
    elif choice not in (None, "auto"):
        note("tool_choice")


def _tag_by_value(body: Body, wanted: Body) -> None:
    """TGI's spelling: the schema stands under `value`; it has no word for plain text."""
    kind = wanted.get("type")
    if kind == "json_schema":
        inner = wanted.get("json_schema") or {}
        value = {key: inner[key] for key in ("name", "schema") if key in inner}
        body["response_format"] = {"type": "json_schema", "value": value}
    elif kind == "json_object":
        body["response_format"] = {"type": "json_object", "value": wanted.get("schema") or {"type": "object"}}
    elif kind == "text":
        del body["response_format"]


def _says_effort(body: Body) -> bool:
    return body.get("reasoning_effort") is not None or "chat_template_kwargs" in body or "reasoning" in body


def _filtered(body: Body, quirks: Quirks, note: Note) -> Body:
    for name in quirks.ignored & body.keys():
        if body[name] is not None:
            note(name)
    if quirks.dropped:
        for name in quirks.dropped & body.keys():
            del body[name]
            note(name)
    if quirks.accepted is None:
        return body
    if body.keys() - quirks.accepted:
        note("unknown")
    return {name: value for name, value in body.items() if name in quirks.accepted}
