"""The view of a request body: which bodies are refused and why, and what a request is found to need."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.chat import ChatRequest, named_tool
from app.core.types import Api, Capability
from app.errors import InvalidRequest

HI = [{"role": "user", "content": "hi"}]


def tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {}}}


def chat(**fields: Any) -> ChatRequest:
    return ChatRequest("chat", {"messages": HI, **fields})


REFUSED: list[tuple[Api, Any, str | None]] = [
    ("chat", None, None),
    ("chat", [], None),
    ("chat", "text", None),
    ("chat", {}, "messages"),
    ("chat", {"messages": None}, "messages"),
    ("chat", {"messages": []}, "messages"),
    ("chat", {"messages": "hi"}, "messages"),
    ("chat", {"messages": {}}, "messages"),
    ("chat", {"messages": ["hi"]}, "messages[0]"),
    ("chat", {"messages": [*HI, {}]}, "messages[1].role"),
    ("chat", {"messages": [{"role": 1}]}, "messages[0].role"),
    ("chat", {"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ("chat", {"messages": [{"role": "user", "content": {}}]}, "messages[0].content"),
    ("chat", {"messages": [{"role": "user", "content": ["hi"]}]}, "messages[0].content[0]"),
    ("chat", {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}, "messages[0].content[0]"),
    ("chat", {"messages": HI, "tools": [1]}, "tools[0]"),
    ("chat", {"messages": HI, "tool_choice": "sometimes"}, "tool_choice"),
    ("chat", {"messages": HI, "tool_choice": {"function": {"name": "f"}}}, "tool_choice"),
    ("chat", {"messages": HI, "tools": [tool("f")], "tool_choice": {"function": {"name": "g"}}}, "tool_choice"),
    ("chat", {"messages": HI, "tools": [tool("f")], "tool_choice": {"function": "f"}}, "tool_choice"),
    ("completion", {}, "prompt"),
    ("completion", {"prompt": ""}, "prompt"),
    ("completion", {"prompt": []}, "prompt"),
    ("completion", {"prompt": 5}, "prompt"),
    ("embedding", {}, "input"),
    ("embedding", {"input": {}}, "input"),
]


@pytest.mark.parametrize(("api", "body", "param"), REFUSED)
def test_refused(api: Api, body: Any, param: str | None) -> None:
    """A body that cannot be served is a 400 that names its field, in the message too."""
    with pytest.raises(InvalidRequest) as refusal:
        ChatRequest(api, body)
    assert (refusal.value.param, refusal.value.status) == (param, 400)
    assert (param or "JSON object") in refusal.value.message


WRONG_TYPES = [
    ("model", 5, "a string"),
    ("stream", "true", "true or false"),
    ("stream", 1, "true or false"),
    ("stream_options", True, "an object"),
    ("max_tokens", "5", "an integer"),
    ("max_tokens", 5.5, "an integer"),
    ("max_tokens", True, "an integer"),
    ("max_completion_tokens", [], "an integer"),
    ("temperature", "0.5", "a number"),
    ("temperature", False, "a number"),
    ("top_p", {}, "a number"),
    ("seed", 1.5, "an integer"),
    ("n", "2", "an integer"),
    ("stop", 5, "a string or an array"),
    ("logprobs", "yes", "true or false or an integer"),
    ("logit_bias", [], "an object"),
    ("tools", {}, "an array"),
    ("tool_choice", 1, "a string or an object"),
    ("response_format", "json", "an object"),
    ("reasoning_effort", 3, "a string"),
]


@pytest.mark.parametrize(("field", "value", "words"), WRONG_TYPES)
def test_wrong_types(field: str, value: Any, words: str) -> None:
    """A well-known field of the wrong type is named together with the type it must have."""
    with pytest.raises(InvalidRequest) as refusal:
        chat(**{field: value})
    assert (refusal.value.message, refusal.value.param) == (f"'{field}' must be {words}.", field)


@pytest.mark.parametrize("field", [row[0] for row in WRONG_TYPES])
def test_null_means_absent(field: str) -> None:
    """SDKs send null for what is not set."""
    assert not chat(**{field: None}).needs


def test_the_body_is_kept_as_it_came() -> None:
    """Unknown fields, of any type, stay; the very object is handed on."""
    body = {"messages": HI, "x_new": {"deep": [1]}, "temperature": 1}
    assert ChatRequest("chat", body).body is body


NEEDS: list[tuple[dict[str, Any], set[str]]] = [
    ({}, set()),
    ({"tools": []}, set()),
    ({"tools": [], "tool_choice": "required"}, set()),
    ({"tools": [tool("f")]}, {"tools"}),
    ({"tools": [tool("f")], "tool_choice": "auto"}, {"tools"}),
    ({"tools": [tool("f")], "tool_choice": "none"}, {"tool_choice.none"}),
    ({"tools": [tool("f")], "tool_choice": "required"}, {"tools", "tool_choice.named"}),
    ({"tools": [tool("f"), tool("g")], "tool_choice": "required"}, {"tools", "tool_choice.required"}),
    ({"tools": [{"type": "custom"}], "tool_choice": "required"}, {"tools", "tool_choice.required"}),
    (
        {"tools": [tool("f"), tool("g")], "tool_choice": {"type": "function", "function": {"name": "g"}}},
        {"tools", "tool_choice.named"},
    ),
    ({"tools": [tool("f")], "tool_choice": {"type": "allowed_tools"}}, {"tools"}),
    ({"n": 1}, set()),
    ({"n": 2}, {"n"}),
    ({"logprobs": True}, {"logprobs"}),
    ({"logprobs": False}, set()),
    ({"response_format": {"type": "text"}}, set()),
    ({"response_format": {"type": ["json_object"]}}, set()),
    ({"response_format": {"type": "json_object"}}, {"json_object"}),
    ({"response_format": {"type": "json_schema", "json_schema": {}}}, {"json_schema"}),
    (
        {"response_format": {"type": "json_object"}, "tools": [{"type": "function"}], "tool_choice": "none"},
        {"json_object", "tool_choice.none", "tools_with_format"},
    ),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]}, set()),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url"}, {"type": "input_audio"}]}]},
        {"vision", "audio"},
    ),
]


@pytest.mark.parametrize(("fields", "needs"), NEEDS)
def test_needs_of_a_chat(fields: dict[str, Any], needs: set[str]) -> None:
    """What a backend must have is read off the body."""
    assert chat(**fields).needs == needs
    assert needs <= set(get_args(Capability))


@pytest.mark.parametrize(
    ("prompt", "needs"),
    [
        ("hi", set()),
        (["hi"], set()),
        (["a", "b"], {"prompt_list"}),
        ([1, 2], {"token_prompt"}),
        ([[1]], {"token_prompt"}),
    ],
)
def test_needs_of_a_completion(prompt: Any, needs: set[str]) -> None:
    """Prompts of tokens and lists of prompts are more than every backend has."""
    assert ChatRequest("completion", {"prompt": prompt}).needs == needs


def test_named_tool() -> None:
    """The forced tool is found by name among others, whatever shape those have."""
    tools = [{"function": "odd"}, tool("f"), tool("g")]
    choice = {"type": "function", "function": {"name": "g"}}
    assert named_tool({"tools": tools, "tool_choice": choice}) == tool("g")
    assert named_tool({"tools": tools, "tool_choice": "auto"}) is None
    assert named_tool({"tools": [tool("f")], "tool_choice": "required"}) == tool("f")
    assert named_tool({}) is None


def test_stream_and_usage() -> None:
    """Usage is wanted only in a stream and only if asked for; embeddings never stream."""
    asking = {"stream_options": {"include_usage": True}}
    assert chat(stream=True, **asking).wants_usage
    assert not chat(stream=True).wants_usage
    assert not chat(**asking).wants_usage
    assert not ChatRequest("embedding", {"input": "a", "stream": True}).stream


def test_model_and_length_wanted() -> None:
    """No model is auto; the newer name of the length limit wins."""
    assert (chat().model, chat(model="").model, chat(model="gpt-4o").model) == ("auto", "auto", "gpt-4o")
    assert (chat().max_output, chat(max_tokens=7).max_output) == (0, 7)
    assert chat(max_tokens=7, max_completion_tokens=9).max_output == 9


def test_texts_are_all_that_becomes_prompt() -> None:
    """Contents, text parts and the arguments of tool calls, in order; odd shapes are passed over."""
    calls = [{"function": {"arguments": '{"a":1}'}}, {"function": 5}, 5, {"function": {"arguments": 5}}]
    messages = [
        {"role": "system", "content": "one"},
        {"role": "user", "content": [{"type": "text", "text": "two"}, {"type": "image_url"}, {"type": "x", "text": 5}]},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_calls": "odd"},
    ]
    assert list(ChatRequest("chat", {"messages": messages}).texts()) == ["one", "two", '{"a":1}']
    assert list(ChatRequest("completion", {"prompt": ["a", 5, "b"]}).texts()) == ["a", "b"]
    assert list(ChatRequest("embedding", {"input": "a"}).texts()) == ["a"]


def test_estimate_grows_with_text_and_tools() -> None:
    """Text, tools and tokens that were sent as such count; depth does not matter."""
    empty = chat().estimated_tokens()
    assert ChatRequest("completion", {"prompt": "word" * 100}).estimated_tokens() == 84
    assert ChatRequest("completion", {"prompt": "证明根号" * 100}).estimated_tokens() == 280
    assert ChatRequest("completion", {"prompt": [1, 2, 3]}).estimated_tokens() == 3
    assert ChatRequest("embedding", {"input": [[1, 2], [3]]}).estimated_tokens() == 3
    assert chat(tools=[tool("f" * 400)]).estimated_tokens() - empty >= 80
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    assert chat(tools=[{"function": deep}]).estimated_tokens() >= empty


def test_fields_of_another_api_are_not_read() -> None:
    """A completion may carry anything under the names that only a chat has."""
    request = ChatRequest("completion", {"prompt": "hi", "messages": 5, "tools": [7]})
    assert (request.messages, request.tools, list(request.texts())) == ([], [], ["hi"])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
WORDS = JSON | st.sampled_from(["required", "none", "function", "image_url", "json_object", "text", "f"])
OBJECTS = st.dictionaries(st.sampled_from(["type", "text", "function", "name", "arguments"]), WORDS, max_size=4)
NESTED = st.dictionaries(st.sampled_from(["type", "function", "json_schema"]), WORDS | OBJECTS, max_size=3)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "tool"])},
        optional={"content": WORDS | st.lists(OBJECTS, max_size=2), "tool_calls": WORDS | st.lists(NESTED, max_size=2)},
    ),
    min_size=1,
    max_size=3,
)
SHAPED = st.fixed_dictionaries(
    {"messages": MESSAGES, "prompt": st.text(min_size=1) | JSON, "input": st.text(min_size=1) | JSON},
    optional={
        "tools": st.lists(NESTED, max_size=2) | JSON,
        "tool_choice": WORDS | NESTED,
        "response_format": NESTED | JSON,
        "n": st.integers(-1, 3) | JSON,
        "max_tokens": st.integers() | JSON,
        "model": JSON,
    },
)


@given(st.sampled_from(get_args(Api)), JSON | SHAPED)
def test_any_json_is_a_request_or_a_400(api: Api, body: Any) -> None:
    """Nothing but InvalidRequest is ever raised, and what is accepted can be read without surprise."""
    try:
        request = ChatRequest(api, body)
    except InvalidRequest:
        return
    assert request.estimated_tokens() >= 0
    assert isinstance(request.model, str)
    assert isinstance(request.max_output, int)
    assert request.needs <= set(get_args(Capability))
