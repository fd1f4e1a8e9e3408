"""smolagents' OpenAIModel as an application uses it; see said.py."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from typing import Any

import said
from smolagents import ChatMessage, OpenAIModel, ToolCallingAgent, agglomerate_stream_deltas, tool

URL, KEY = sys.argv[1:]


@tool
def get_weather(city: str) -> str:
    """Current weather of a city

    Args:
        city: its name
    """
    return f"18 degrees in {city}; there is nothing to add, so this is the final answer"


def model(name: str = said.AUTO, key: str = KEY) -> OpenAIModel:
    options = {"max_retries": 0, "timeout": 20}
    return OpenAIModel(model_id=name, api_base=URL, api_key=key, client_kwargs=options, retry=False)


def parts() -> list[Any]:
    """Its own form of a message: a list of parts."""
    return [ChatMessage(role="user", content=[{"type": "text", "text": text} for text in said.PARTS])]


def plain(name: str = said.AUTO) -> said.Told:
    answer = model(name).generate(said.messages())
    finish = answer.raw.choices[0].finish_reason
    return {"text": answer.content, "finish": finish, "tokens": answer.token_usage.total_tokens}


def streamed(name: str = said.AUTO, messages: list[Any] | None = None) -> said.Told:
    deltas = list(model(name).generate_stream(messages or said.messages()))
    whole = agglomerate_stream_deltas(deltas)
    pieces = sum(bool(delta.content) for delta in deltas)
    return {"text": whole.content, "pieces": pieces, "tokens": whole.token_usage.total_tokens}


def tool_call(name: str = said.AUTO) -> said.Told:
    """A single tool is forced by its name or as `required`, as the package sees fit."""
    answer = model(name).generate(said.messages(said.WEATHER), tools_to_call_from=[get_weather])
    call = answer.tool_calls[0].function
    return {"name": call.name, "arguments": _read(call.arguments), "finish": answer.raw.choices[0].finish_reason}


def tool_streamed(name: str) -> said.Told:
    deltas = list(model(name).generate_stream(said.messages(said.WEATHER), tools_to_call_from=[get_weather]))
    call = agglomerate_stream_deltas(deltas).tool_calls[0].function
    pieces = sum(bool(delta.tool_calls) for delta in deltas)
    return {"name": call.name, "arguments": _read(call.arguments), "pieces": pieces}


def _read(arguments: Any) -> Any:
    return json.loads(arguments) if isinstance(arguments, str) else arguments


def structured() -> said.Told:
    wanted = {"type": "json_schema", "json_schema": {"name": "facts", "schema": said.SCHEMA, "strict": True}}
    return {"value": json.loads(model().generate(said.messages(said.FACTS), response_format=wanted).content)}


def agent(stream: bool) -> said.Told:
    """A step that asks for the weather, and one that gives the final answer."""
    worker = ToolCallingAgent(
        tools=[get_weather], model=model(), max_steps=3, stream_outputs=stream, verbosity_level=-1
    )
    answer = worker.run(said.WEATHER)
    steps = [step for step in worker.memory.steps if getattr(step, "tool_calls", None)]
    calls = [call for step in steps for call in step.tool_calls]
    return {"calls": [call.name for call in calls], "arguments": calls[0].arguments, "answer": answer}


said.tell(
    version("smolagents"),
    {
        "plain": plain,
        "stream": streamed,
        "parts": lambda: streamed(messages=parts()),
        "usage": streamed,  # it always asks for it
        "thinking": lambda: streamed(said.THINKER),
        "tool_forced": tool_call,
        "tool_whole": lambda: tool_streamed(said.AUTO),
        "tool_pieces": lambda: tool_streamed(said.LARGE),
        "structured": structured,
        "agent": lambda: agent(False),
        "agent_stream": lambda: agent(True),
        "large": lambda: streamed(said.LARGE),
        "fallback": lambda: streamed(said.FLAKY),
        **said.refusals(plain, lambda: model(key="wrong").generate(said.messages())),
        **said.cuts(streamed),
    },
)
