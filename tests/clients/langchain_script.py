"""LangChain's ChatOpenAI as an application uses it; see said.py."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any

import said
from langchain_core.messages import AIMessageChunk, ToolMessage
from langchain_openai import ChatOpenAI

URL, KEY = sys.argv[1:]


def chat(model: str = said.AUTO, key: str = KEY, **options: Any) -> ChatOpenAI:
    return ChatOpenAI(base_url=URL, api_key=key, model=model, max_retries=0, timeout=20, **options)


def plain() -> said.Told:
    answer = chat().invoke(said.HELLO)
    used = answer.usage_metadata
    return {"text": answer.text, "finish": answer.response_metadata["finish_reason"], "tokens": used["total_tokens"]}


def streamed(model: str = said.AUTO, **options: Any) -> said.Told:
    pieces, whole = 0, AIMessageChunk("")
    for chunk in chat(model, **options).stream(said.HELLO):
        pieces += bool(chunk.text)
        whole += chunk
    told = {"text": whole.text, "pieces": pieces, "finish": whole.response_metadata.get("finish_reason")}
    return {**told, "tokens": (whole.usage_metadata or {}).get("total_tokens")}


def tool() -> said.Told:
    asked = said.messages(said.WEATHER)
    bound = chat().bind_tools([said.TOOL])
    answer = bound.invoke(asked)
    call = answer.tool_calls[0]
    after = bound.invoke([*asked, answer, ToolMessage("18 degrees", tool_call_id=call["id"])])
    finish = answer.response_metadata["finish_reason"]
    return {"name": call["name"], "arguments": call["args"], "finish": finish, "after": after.text}


def tool_streamed(model: str) -> said.Told:
    pieces, whole = 0, AIMessageChunk("")
    for chunk in chat(model).bind_tools([said.TOOL]).stream(said.WEATHER):
        pieces += bool(chunk.tool_call_chunks)
        whole += chunk
    call = whole.tool_calls[0]
    finish = whole.response_metadata["finish_reason"]
    return {"name": call["name"], "arguments": call["args"], "finish": finish, "pieces": pieces}


def structured() -> said.Told:
    schema = {"title": "Facts", **said.SCHEMA}
    return {"value": chat().with_structured_output(schema).invoke(said.FACTS)}


def forced(model: str = said.AUTO) -> said.Told:
    """By a forced call: what with_structured_output does for models without a format."""
    schema = {"title": "Facts", "description": "facts", **said.SCHEMA}
    return {"value": chat(model).with_structured_output(schema, method="function_calling").invoke(said.FACTS)}


said.tell(
    version("langchain-openai"),
    {
        "plain": plain,
        "stream": streamed,
        "usage": lambda: streamed(stream_usage=True),
        "thinking": lambda: streamed(said.THINKER),
        "tool": tool,
        "tool_whole": lambda: tool_streamed(said.AUTO),
        "tool_pieces": lambda: tool_streamed(said.LARGE),
        "structured": structured,
        "forced": forced,
        "forced_large": lambda: forced(said.LARGE),
        "large": lambda: streamed(said.LARGE),
        "fallback": lambda: streamed(said.FLAKY),
        **said.refusals(lambda model: chat(model).invoke(said.HELLO), lambda: chat(key="wrong").invoke(said.HELLO)),
        **said.cuts(streamed),
    },
)
