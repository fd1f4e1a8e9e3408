"""huggingface_hub's InferenceClient as an application uses it; see said.py."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from typing import Any

import said
from huggingface_hub import InferenceClient

URL, KEY = sys.argv[1:]

CLIENT = InferenceClient(base_url=URL, api_key=KEY, timeout=20)  # it takes its streams along when it goes


def ask(model: str = said.AUTO, text: str = said.HELLO, client: InferenceClient = CLIENT, **options: Any) -> Any:
    return client.chat.completions.create(model=model, **{"messages": said.messages(text), **options})


def plain() -> said.Told:
    answer = ask()
    choice = answer.choices[0]
    return {"text": choice.message.content, "finish": choice.finish_reason, "tokens": answer.usage.total_tokens}


def streamed(model: str = said.AUTO, **options: Any) -> said.Told:
    text, pieces, finish, tokens = "", 0, None, None
    for chunk in ask(model, stream=True, **options):
        tokens = chunk.usage.total_tokens if chunk.usage else tokens
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
    name, arguments, pieces, finish = "", "", 0, None
    for chunk in ask(model, said.WEATHER, tools=[said.TOOL], stream=True):
        finish = chunk.choices[0].finish_reason or finish
        for call in chunk.choices[0].delta.tool_calls or []:
            name += call.function.name or ""
            arguments += call.function.arguments or ""
            pieces += 1
    return {"name": name, "arguments": json.loads(arguments), "pieces": pieces, "finish": finish}


def structured() -> said.Told:
    wanted = {"type": "json_schema", "json_schema": {"name": "facts", "schema": said.SCHEMA}}
    return {"value": json.loads(ask(text=said.FACTS, response_format=wanted).choices[0].message.content)}


def forced(model: str = said.AUTO) -> said.Told:
    """By a tool that is named."""
    tool = {"type": "function", "function": {"name": "facts", "parameters": said.SCHEMA}}
    choice = {"type": "function", "function": {"name": "facts"}}
    answer = ask(model, said.FACTS, tools=[tool], tool_choice=choice).choices[0]
    return {"value": json.loads(answer.message.tool_calls[0].function.arguments)}


said.tell(
    version("huggingface-hub"),
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
        **said.refusals(ask, lambda: ask(client=InferenceClient(base_url=URL, api_key="wrong"))),
        **said.cuts(streamed),
    },
)
