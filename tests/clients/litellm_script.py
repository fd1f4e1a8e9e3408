"""LiteLLM's SDK as an application uses it; see said.py."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from typing import Any

import litellm
import said

URL, KEY = sys.argv[1:]


def ask(model: str = said.AUTO, text: str = said.HELLO, key: str = KEY, **options: Any) -> Any:
    fields = {"messages": said.messages(text), "max_retries": 0, "timeout": 20, **options}
    return litellm.completion(model=f"openai/{model}", api_base=URL, api_key=key, **fields)


def plain() -> said.Told:
    answer = ask()
    choice = answer.choices[0]
    return {"text": choice.message.content, "finish": choice.finish_reason, "tokens": answer.usage.total_tokens}


def streamed(model: str = said.AUTO, **options: Any) -> said.Told:
    text, pieces, finish, tokens = "", 0, None, None
    for chunk in ask(model, stream=True, **options):
        usage = getattr(chunk, "usage", None)
        tokens = usage.total_tokens if usage else tokens
        for choice in chunk.choices:
            text += choice.delta.content or ""
            pieces += bool(choice.delta.content)
            finish = choice.finish_reason or finish
    return {"text": text, "pieces": pieces, "finish": finish, "tokens": tokens}


def tool() -> said.Told:
    answer = ask(text=said.WEATHER, tools=[said.TOOL]).choices[0]
    call = answer.message.tool_calls[0]
    result = {"role": "tool", "tool_call_id": call.id, "content": "18 degrees"}
    after = ask(messages=[*said.messages(said.WEATHER), answer.message, result], tools=[said.TOOL])
    told = {"name": call.function.name, "arguments": json.loads(call.function.arguments)}
    return {**told, "finish": answer.finish_reason, "after": after.choices[0].message.content}


def tool_streamed(model: str) -> said.Told:
    chunks = list(ask(model, said.WEATHER, tools=[said.TOOL], stream=True))
    choice = litellm.stream_chunk_builder(chunks).choices[0]
    call = choice.message.tool_calls[0].function
    pieces = sum(bool(chunk.choices[0].delta.tool_calls) for chunk in chunks)
    told = {"name": call.name, "arguments": json.loads(call.arguments)}
    return {**told, "pieces": pieces, "finish": choice.finish_reason}


def structured() -> said.Told:
    wanted = {"type": "json_schema", "json_schema": {"name": "facts", "schema": said.SCHEMA, "strict": True}}
    return {"value": json.loads(ask(text=said.FACTS, response_format=wanted).choices[0].message.content)}


def forced(model: str = said.AUTO) -> said.Told:
    """By a tool that is named."""
    tool = {"type": "function", "function": {"name": "facts", "parameters": said.SCHEMA}}
    choice = {"type": "function", "function": {"name": "facts"}}
    answer = ask(model, said.FACTS, tools=[tool], tool_choice=choice).choices[0]
    return {"value": json.loads(answer.message.tool_calls[0].function.arguments)}


said.tell(
    version("litellm"),
    {
        "plain": plain,
        "stream": streamed,
        "usage": lambda: streamed(stream_options={"include_usage": True}),
        "thinking": lambda: streamed(said.THINKER),
        "tool": tool,
        "tool_whole": lambda: tool_streamed(said.AUTO),
        "tool_pieces": lambda: tool_streamed(said.LARGE),
        "structured": structured,
        "forced": forced,
        "forced_large": lambda: forced(said.LARGE),
        "large": lambda: streamed(said.LARGE),
        "fallback": lambda: streamed(said.FLAKY),
        **said.refusals(ask, lambda: ask(key="wrong")),
        **said.cuts(streamed),
    },
)
