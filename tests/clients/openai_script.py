"""What an application does with the unmodified `openai` package: run by the interpreter that has it.

    python openai_script.py BASE_URL KEY

Each step is an ordinary use with assertions; the names of those that passed come out as one JSON list. It knows
nothing of the project: what it needs is a gateway with the models named below.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import openai
from openai import OpenAI

MODEL = "auto"
FAULTY = {429: "busy", 503: "loading", 400: "picky"}  # models whose backend always answers so

Messages = list[Any]
HELLO: Messages = [{"role": "user", "content": "Please explain what a gateway is."}]
WEATHER: Messages = [{"role": "user", "content": "What is the weather in Lisbon?"}]
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}


def plain(client: OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=HELLO)
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


def stream(client: OpenAI) -> None:
    """Nobody asked for usage, so no chunk is without a choice and none has usage."""
    chunks = list(client.chat.completions.create(model=MODEL, messages=HELLO, stream=True))
    whole = client.chat.completions.create(model=MODEL, messages=HELLO)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == whole.choices[0].message.content
    assert len(chunks) > 3
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == "stop"
    assert not any(chunk.usage for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == 1


def include_usage(client: OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(model=MODEL, messages=HELLO, stream=True, stream_options={"include_usage": True})
    )
    assert [bool(chunk.usage) for chunk in chunks].count(True) == 1
    last = chunks[-1]
    assert last.choices == []
    assert last.usage
    assert last.usage.completion_tokens > 0


def stream_helper(client: OpenAI) -> None:
    with client.chat.completions.stream(model=MODEL, messages=HELLO) as events:
        kinds = [event.type for event in events]
        final = events.get_final_completion()
    assert "content.delta" in kinds
    assert "content.done" in kinds
    assert final.choices[0].message.content


def tools(client: OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=WEATHER, tools=[TOOL])
    assert answer.choices[0].finish_reason == "tool_calls"
    message = answer.choices[0].message
    calls: list[Any] = message.tool_calls or []
    assert [call.function.name for call in calls] == ["get_weather"]
    assert set(json.loads(calls[0].function.arguments)) == {"city"}
    result = {"role": "tool", "tool_call_id": calls[0].id, "content": "18 degrees"}
    history = [*WEATHER, message.model_dump(exclude_none=True), result]
    followed = client.chat.completions.create(model=MODEL, messages=history, tools=[TOOL])
    assert followed.choices[0].message.content


def tools_whole(client: OpenAI) -> None:
    """As Ollama streams a call: in one event."""
    assert _streamed_call(client, MODEL) == 1


def tools_piecewise(client: OpenAI) -> None:
    """As vLLM streams a call: its arguments in many."""
    assert _streamed_call(client, "maker/large") > 2


def _streamed_call(client: OpenAI, model: str) -> int:
    """In how many pieces the arguments came."""
    with client.chat.completions.stream(model=model, messages=WEATHER, tools=[TOOL]) as events:
        kinds = [event.type for event in events]
        final = events.get_final_completion()
    assert "tool_calls.function.arguments.done" in kinds
    calls: list[Any] = final.choices[0].message.tool_calls or []
    assert calls[0].function.name == "get_weather"
    assert set(json.loads(calls[0].function.arguments)) == {"city"}
    return kinds.count("tool_calls.function.arguments.delta")


def raw_response(client: OpenAI) -> None:
    named = {"x-request-id": "from-the-client"}
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=HELLO, extra_headers=named)
    assert raw.headers["x-request-id"] == "from-the-client"
    assert raw.headers["x-smallfirst-reason"]
    answer: Any = raw.parse()
    assert answer._request_id == "from-the-client"
    assert client.chat.completions.with_raw_response.create(model=MODEL, messages=HELLO).headers["x-request-id"]


def completions(client: OpenAI) -> None:
    assert client.completions.create(model=MODEL, prompt="Once upon a time").choices[0].text


def embeddings(client: OpenAI) -> None:
    """The package asks for base64 and decodes it itself."""
    answer = client.embeddings.create(model="embedder", input=["one", "two"])
    assert [one.index for one in answer.data] == [0, 1]
    assert all(isinstance(number, float) for number in answer.data[0].embedding)
    assert answer.data[0].embedding != answer.data[1].embedding


def models(client: OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert {"auto", "slm", "llm", "maker/large"} <= set(names)
    for name in ("auto", "maker/large"):  # an id may hold a slash
        assert client.models.retrieve(name).id == name


def refused(client: OpenAI) -> None:
    """Each status becomes the package's own exception, with the code and the request id."""
    bad: Any = {"messages": "not a list"}
    cases: list[tuple[type[openai.APIStatusError], int, dict[str, Any]]] = [
        (openai.BadRequestError, 400, bad),
        (openai.BadRequestError, 400, {"model": FAULTY[400]}),
        (openai.AuthenticationError, 401, {"extra_headers": {"Authorization": "Bearer wrong"}}),
        (openai.NotFoundError, 404, {"model": "no-such-model"}),
        (openai.APIStatusError, 413, {"messages": [{"role": "user", "content": "long " * 50_000}]}),
        (openai.RateLimitError, 429, {"model": FAULTY[429]}),
        (openai.InternalServerError, 503, {"model": FAULTY[503]}),
    ]
    once = client.with_options(max_retries=0)
    for expected, status, fields in cases:
        error = _error(once, fields)
        assert isinstance(error, expected), (status, error)
        assert error.status_code == status, error
        assert error.request_id
        assert error.type, status
        assert isinstance(error.body, dict), status
        assert error.body["message"], status
        if status in (429, 503):
            assert 0 < float(error.response.headers["retry-after"]) <= 120
            assert float(error.response.headers["retry-after-ms"]) > 0


def _error(client: OpenAI, fields: dict[str, Any]) -> openai.APIStatusError:
    try:
        client.chat.completions.create(**{"model": MODEL, "messages": HELLO, **fields})
    except openai.APIStatusError as error:
        return error
    raise AssertionError(f"no error for {fields}")


STEPS = (
    plain,
    stream,
    include_usage,
    stream_helper,
    tools,
    tools_whole,
    tools_piecewise,
    raw_response,
    completions,
    embeddings,
    models,
    refused,
)


def main(base_url: str, key: str) -> None:
    client = OpenAI(base_url=base_url, api_key=key, max_retries=0, timeout=20)
    passed = []
    for step in STEPS:
        try:
            step(client)
        except Exception as error:
            error.add_note(f"in step {step.__name__} of openai {openai.__version__}")
            raise
        passed.append(step.__name__)
    print(json.dumps({"version": openai.__version__, "passed": passed}))


if __name__ == "__main__":
    main(*sys.argv[1:])
