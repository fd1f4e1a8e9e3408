"""Tools and formats at a real llama-server: its grammar makes even random weights say what was asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.real.house import TO_THE_LIMIT, House, hello

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
MOST = 400  # tokens: enough for a call of the functions below, with much white space
PARAMETERS = {
    "type": "object",
    "properties": {
        "city": {"enum": ["Oslo", "Lima", "Kyoto"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 14},
        "rain": {"type": "boolean"},
    },
    "required": ["city", "days", "rain"],
    "additionalProperties": False,
}
NOTHING = {"type": "object", "properties": {}}
END = "<|im_end|>"  # of a message, in this model's template
NAMES = ("get_time", "get_weather")
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "get_time", "description": "The time.", "parameters": NOTHING}},
    {"type": "function", "function": {"name": "get_weather", "description": "Weather.", "parameters": PARAMETERS}},
]
NAMED = {"type": "function", "function": {"name": "get_weather"}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "forecast", "strict": True, "schema": PARAMETERS}}


def ask(house: House, stream: bool, **fields: Any) -> tuple[list[tuple[str, str]], str, str]:
    """(name and arguments of each call, the words, the finish reason)"""
    asked: dict[str, Any] = {"model": "auto", "messages": hello(), "max_tokens": MOST, "stream": stream, **fields}
    answer: Any = house.client.chat.completions.create(**asked)
    if not stream:
        [choice] = answer.choices
        calls = [(call.function.name, call.function.arguments) for call in choice.message.tool_calls or ()]
        assert all(call.id and call.type == "function" for call in choice.message.tool_calls or ())
        return calls, choice.message.content or "", choice.finish_reason
    return gathered(list(answer))


def gathered(chunks: list[Any]) -> tuple[list[tuple[str, str]], str, str]:
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    words, finish = "", ""
    for choice in (chunk.choices[0] for chunk in chunks):
        words += choice.delta.content or ""
        finish = choice.finish_reason or finish
        for call in choice.delta.tool_calls or ():
            if call.id:
                names[call.index] = call.function.name
            arguments[call.index] = arguments.get(call.index, "") + (call.function.arguments or "")
    return [(names[index], arguments[index]) for index in sorted(arguments)], words, finish


def check_forecast(text: str) -> None:
    forecast = json.loads(text)
    assert forecast.keys() == {"city", "days", "rain"}
    assert forecast["city"] in PARAMETERS["properties"]["city"]["enum"]  # type: ignore[index]
    assert 1 <= forecast["days"] <= 14
    assert isinstance(forecast["rain"], bool)


@pytest.mark.parametrize("stream", [False, True])
def test_a_named_function_is_called(house: House, stream: bool) -> None:
    """That one, with arguments by its schema, though the server itself reads the object as `auto`."""
    calls, words, finish = ask(house, stream, tools=TOOLS, tool_choice=NAMED)
    assert ([name for name, _ in calls], words, finish) == (["get_weather"], "", "tool_calls")
    check_forecast(calls[0][1])


def test_the_server_alone_ignores_the_name(house: House) -> None:
    """The reason for the rule: of a hundred tokens, chosen at random, none begins a call."""
    body = {"messages": hello(), "tools": TOOLS, "tool_choice": NAMED, "max_tokens": 100}
    status, answer = house.llama.post("/v1/chat/completions", body)
    assert status == 200
    assert not answer["choices"][0]["message"].get("tool_calls")


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_of_the_servers_own(house: House, stream: bool) -> None:
    """Random weights do not come to begin one; once it is begun for them, the grammar has them make it.

    They may make more than one: with this template the server does not keep to `parallel_tool_calls`.
    """
    begun = [*hello(), {"role": "assistant", "content": "<tool_call>\n"}]
    fields = {"messages": begun, "tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False}
    calls, words, finish = ask(house, stream, **fields, logit_bias=house.llama.bias(END), max_tokens=1500)
    assert (words, finish) == ("", "tool_calls")
    assert calls
    for name, arguments in calls:
        assert name in NAMES
        if name == "get_weather":
            check_forecast(arguments)
        else:
            assert json.loads(arguments) == {}


@pytest.mark.parametrize(("choice", "finish", "tokens"), [("auto", "stop", 1), ("required", "length", 8)])
def test_a_required_call_keeps_the_answer_open(house: House, choice: str, finish: str, tokens: int) -> None:
    """The word reaches the grammar: what would end at once may not end before a call."""
    answer = house.client.chat.completions.create(
        model="auto",
        messages=hello(),
        max_tokens=8,
        tools=TOOLS,
        tool_choice=choice,
        logit_bias=house.llama.bias(END),
    )
    assert answer.usage
    assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == (finish, tokens)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("choice", ["auto", "none"])
def test_tools_that_need_not_be_called(house: House, stream: bool, choice: str) -> None:
    """Words or a call, whatever comes has its shape and its end."""
    calls, words, finish = ask(house, stream, tools=TOOLS, tool_choice=choice, max_tokens=24)
    assert finish == ("tool_calls" if calls else "length")
    assert calls or words
    assert {name for name, _ in calls} <= set(NAMES if choice == "auto" else ())


def test_the_answer_of_a_tool_is_taken(house: House) -> None:
    """The turn after a call: the template puts it into the prompt."""
    call = {"id": "call_1", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}
    messages = [
        *hello(),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "12:00"},
    ]
    assert (
        ask(house, False, messages=messages, tools=TOOLS, tool_choice="none", max_tokens=8, extra_body=TO_THE_LIMIT)[2]
        == "length"
    )


@pytest.mark.parametrize("stream", [False, True])
def test_a_json_schema(house: House, stream: bool) -> None:
    _, words, finish = ask(house, stream, response_format=FORMAT)
    assert finish == "stop"
    check_forecast(words)


def test_tools_with_a_format_go_to_another(house: House) -> None:
    """With a format the server never calls, though a call is required; so the request is routed around it."""
    body = {"messages": hello(), "tools": TOOLS, "tool_choice": "required", "response_format": FORMAT}
    status, alone = house.llama.post("/v1/chat/completions", {**body, "max_tokens": MOST})
    assert status == 200
    assert "tool_calls" not in alone["choices"][0]["message"]
    check_forecast(alone["choices"][0]["message"]["content"])
    raw = house.client.chat.completions.with_raw_response.create(
        model="auto", messages=hello(), tools=TOOLS, response_format=FORMAT
    )
    assert [raw.headers[f"x-smallfirst-{name}"] for name in ("tier", "reason")] == ["llm", "capability"]


def test_logprobs_with_tools(house: House) -> None:
    """A whole answer has both; in a stream the server refuses, and says why."""
    body: dict[str, Any] = {"model": "auto", "messages": hello(), "max_tokens": 8, "tools": TOOLS, "logprobs": True}
    answer = house.client.chat.completions.create(**body, extra_body=TO_THE_LIMIT)
    assert len(answer.choices[0].logprobs.content) == 8
    assert house.llama.post("/v1/chat/completions", {**body, "stream": True})[0] == 400
