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

_TEXTS = frozenset({"text", "refusal"})  # types of parts that are text, under the type's own name
_VALUE = ("name", "schema")  # what TGI knows of a json_schema
_SWITCHES = frozenset({"enable_thinking", "thinking", "reasoning_effort"})  # of chat templates


def outbound(request: ChatRequest, model: str, quirks: Quirks, thinking: Thinking, note: Note) -> Body:
    """`model` is the id the backend knows; `thinking` is used only where the client says nothing about it."""
    body: Body = {**request.body, "model": model}
    if request.api == "embedding":
        return body
    _usage(body, request, quirks)
    for name, there in quirks.rename:
        value = body.pop(name, None)
        if value is not None:
            body[there] = value
    if request.api == "chat":
        _chat(body, quirks, note)
        _think(body, quirks, thinking)
    elif "prompt_list" not in quirks.has:
        body["prompt"] = _only(body["prompt"])
    if quirks.stop == "list" and isinstance(body.get("stop"), str):
        body["stop"] = [body["stop"]]
    return _filtered(body, quirks, note)


def thinking_fields(quirks: Quirks, reasoning: str, thinks: bool | None) -> Thinking:
    """How a backend is told to think less by default. A model known not to think is left alone."""
    if reasoning == "pass" or thinks is False:
        return {}
    if reasoning == "off":
        return quirks.off
    return {} if quirks.wary and thinks is None else quirks.low


def forced_function(request: ChatRequest, quirks: Quirks) -> str | None:
    """The name of the function whose call is emulated by a response format, if it is."""
    tool = _emulated(request.body, quirks) if request.api == "chat" else None
    return tool["function"]["name"] if tool else None


def _emulated(body: Body, quirks: Quirks) -> Body | None:
    """The one tool that has to be called, if the backend ignores that and takes its schema as a format."""
    if quirks.tool_choice == "any" or "tool_choice.named" not in quirks.has:
        return None
    tool = named_tool(body)
    name = tool["function"].get("name") if tool else None
    return tool if isinstance(name, str) and name else None


def _usage(body: Body, request: ChatRequest, quirks: Quirks) -> None:
    if not request.stream or quirks.usage == "always":
        body.pop("stream_options", None)  # an error without a stream on some, without a meaning on others
    else:
        body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}


def _chat(body: Body, quirks: Quirks, note: Note) -> None:
    body["messages"] = [_message(message, quirks) for message in body["messages"]]
    if quirks.tool_choice != "any" and "tool_choice" in body:
        _emulate_choice(body, quirks, note)
    wanted = body.get("response_format")
    if wanted is not None and quirks.formats == "value":
        _tag_by_value(body, wanted)


def _message(message: Body, quirks: Quirks) -> Body:
    """The same object unless a rule applies."""
    if message["role"] == "developer" and not quirks.developer:
        message = {**message, "role": "system"}
    if not quirks.text_parts and message.get("content").__class__ is not str:
        message = _with_one_text(message)
    if message["role"] == "assistant" and quirks.reasoning is not None:
        other = "reasoning" if quirks.reasoning == "reasoning_content" else "reasoning_content"
        if other in message and quirks.reasoning not in message:
            message = {**message, quirks.reasoning: message[other]}
            del message[other]
    return message


def _with_one_text(message: Body) -> Body:
    """Parts of text become one, in the place of the first; nothing becomes an empty text."""
    content = message.get("content")
    if not content:
        return message if message.get("tool_calls") and content is None else {**message, "content": ""}
    texts = [part for part in content if part["type"] in _TEXTS]
    text = "\n".join(str(part.get(part["type"]) or "") for part in texts)
    if len(texts) == len(content):
        return {**message, "content": text}
    if len(texts) < 2:
        return message
    one = {"type": "text", "text": text}
    others = [one if part is texts[0] else part for part in content if part is texts[0] or part["type"] not in _TEXTS]
    return {**message, "content": others}


def _emulate_choice(body: Body, quirks: Quirks, note: Note) -> None:
    tool = _emulated(body, quirks)
    if tool is None and quirks.tool_choice == "words" and isinstance(body["tool_choice"], str):
        return
    choice = body.pop("tool_choice")
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
    kind, inner = wanted.get("type"), wanted.get("json_schema")
    if kind == "text":
        del body["response_format"]
    elif "value" in wanted:
        return  # its own spelling already
    elif kind == "json_object":
        body["response_format"] = {"type": kind, "value": wanted.get("schema") or {"type": "object"}}
    elif kind == "json_schema" and isinstance(inner, dict):
        body["response_format"] = {"type": kind, "value": {key: inner[key] for key in _VALUE if key in inner}}


def _only(prompt: Any) -> Any:
    """A list of one text is that text."""
    return prompt[0] if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str) else prompt


def _think(body: Body, quirks: Quirks, thinking: Thinking) -> None:
    """The default, unless the client says how much to think. What else it tells the template stays."""
    template = body.get("chat_template_kwargs")
    template = template if isinstance(template, dict) else {}
    effort = body.get("reasoning_effort")
    says = effort is not None or body.get("reasoning") is not None or not template.keys().isdisjoint(_SWITCHES)
    said = quirks.off if _off_in_vain(template, effort, quirks) else {} if says else thinking
    for name, value in said.items():
        body[name] = {**value, **template} if name == "chat_template_kwargs" else value


def _off_in_vain(template: Body, effort: str | None, quirks: Quirks) -> bool:
    """Does the client say "do not think" in a way that this backend ignores? Then it is said in its own."""
    by_template = template.get("enable_thinking") is False and "chat_template_kwargs" in quirks.ignored
    return by_template or (effort == "none" and "reasoning_effort" in quirks.ignored)


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
