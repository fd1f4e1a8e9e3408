"""The body each kind gets: one row a rule, the client's own body untouched."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.backends.outbound import forced_function, outbound, thinking_fields
from app.backends.quirks import BY_KIND
from app.core.chat import ChatRequest
from app.core.types import Api
from app.errors import InvalidRequest

Json = dict[str, Any]
HELLO: list[Json] = [{"role": "user", "content": "hello"}]
TOOL: Json = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
OTHER: Json = {"type": "function", "function": {"name": "g"}}
NAMED: Json = {"type": "function", "function": {"name": "f"}}
SCHEMA: Json = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": {"type": "object"}}}
ONE: Json = {"type": "text", "text": "one"}
TWO: Json = {"type": "text", "text": "two"}
IMAGE: Json = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
CALL: Json = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def sent(
    kind: str, *, api: Api = "chat", noted: list[str] | None = None, thinking: Json | None = None, **body: Any
) -> Json:
    if api == "chat":
        body.setdefault("messages", HELLO)
    before = copy.deepcopy(body)
    request = ChatRequest(api, body)
    notes: list[str] = noted if noted is not None else []
    result = outbound(request, "its-name", BY_KIND[kind], thinking or {}, notes.append)
    assert body == before  # another backend may get it next
    return result


@pytest.mark.parametrize("kind", BY_KIND)
def test_the_model_is_the_backends_own_name(kind: str) -> None:
    """Whatever the client called it."""
    assert sent(kind, model="auto")["model"] == "its-name"


@pytest.mark.parametrize("kind", [kind for kind in BY_KIND if kind != "transformers"])
def test_unknown_fields_pass(kind: str) -> None:
    """Sampling parameters of one server or another are none of our business."""
    assert sent(kind, top_k=40, min_p=0.1, extra={"a": [1]})["extra"] == {"a": [1]}


def test_transformers_gets_only_what_it_accepts() -> None:
    """It answers 422 to anything else; what was left out is counted."""
    noted: list[str] = []
    body = sent("transformers", noted=noted, top_k=40, seed=1)
    assert "top_k" not in body
    assert body["seed"] == 1
    assert noted == ["unknown"]


@pytest.mark.parametrize(("kind", "asked"), [(kind, kind != "transformers") for kind in BY_KIND])
def test_usage_is_always_asked_for_on_streams(kind: str, asked: bool) -> None:
    """Except where it comes anyway; the client's other options stay."""
    body = sent(kind, stream=True, stream_options={"include_obfuscation": False})
    if asked:
        assert body["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    else:
        assert "stream_options" not in body


def test_stream_options_without_a_stream_are_left_out() -> None:
    """vLLM answers 400 to them."""
    assert "stream_options" not in sent("vllm", stream_options={"include_usage": True})


@pytest.mark.parametrize("kind", ["ollama", "tgi"])
@pytest.mark.parametrize(
    ("given", "there"),
    [
        ({"max_completion_tokens": 7}, 7),
        ({"max_completion_tokens": 7, "max_tokens": 9}, 7),
        ({"max_completion_tokens": None, "max_tokens": 9}, 9),
        ({"max_completion_tokens": None}, None),
    ],
)
def test_the_newer_limit_goes_by_the_older_name(kind: str, given: Json, there: int | None) -> None:
    """Ollama ignores max_completion_tokens without a word, TGI takes both for one field that stands twice."""
    body = sent(kind, **given)
    assert body.get("max_tokens") == there
    assert "max_completion_tokens" not in body


@pytest.mark.parametrize(("kind", "role"), [("openai", "developer"), ("ollama", "system"), ("vllm", "system")])
def test_developer_is_system_where_it_is_not_known(kind: str, role: str) -> None:
    """OpenAI's newer role."""
    assert sent(kind, messages=[{"role": "developer", "content": "x"}])["messages"][0]["role"] == role


def test_ollama_gets_one_text_instead_of_parts() -> None:
    """It would make a message of each part."""
    parts = [ONE, TWO]
    assert sent("ollama", messages=[{"role": "user", "content": parts}])["messages"][0]["content"] == "one\ntwo"
    assert sent("vllm", messages=[{"role": "user", "content": parts}])["messages"][0]["content"] == parts


@pytest.mark.parametrize(
    ("message", "content"),
    [
        ({"role": "user", "content": [ONE, IMAGE, TWO]}, [{"type": "text", "text": "one\ntwo"}, IMAGE]),
        ({"role": "user", "content": [IMAGE, ONE]}, [IMAGE, ONE]),
        ({"role": "user", "content": [IMAGE]}, [IMAGE]),
        ({"role": "tool", "tool_call_id": "c", "content": [ONE, TWO]}, "one\ntwo"),
        ({"role": "assistant", "content": [ONE, {"type": "refusal", "refusal": "no"}]}, "one\nno"),
        ({"role": "user", "content": [{"type": "text", "text": None}]}, ""),
        ({"role": "user", "content": []}, ""),
        ({"role": "assistant", "content": None}, ""),
        ({"role": "assistant"}, ""),
        ({"role": "assistant", "content": None, "tool_calls": []}, ""),
        ({"role": "assistant", "content": None, "tool_calls": [CALL]}, None),
    ],
)
def test_ollama_gets_contents_that_it_can_read(message: Json, content: Any) -> None:
    """One text, pictures beside it; no null, which is an error there, unless there are calls."""
    assert sent("ollama", messages=[message])["messages"][0]["content"] == content


@pytest.mark.parametrize(
    ("kind", "given", "there"),
    [("ollama", "reasoning_content", "reasoning"), ("llama-cpp", "reasoning", "reasoning_content")],
)
def test_reasoning_in_history_has_the_servers_name(kind: str, given: str, there: str) -> None:
    """Under the other name it would be dropped."""
    message = {"role": "assistant", "content": "x", given: "thoughts"}
    assert sent(kind, messages=[*HELLO, message])["messages"][1] == {
        "role": "assistant",
        "content": "x",
        there: "thoughts",
    }


def test_tgi_takes_stop_as_a_list() -> None:
    """A bare string does not deserialise there."""
    assert sent("tgi", stop="END")["stop"] == ["END"]
    assert sent("vllm", stop="END")["stop"] == "END"


@pytest.mark.parametrize(
    ("given", "there"),
    [
        (SCHEMA, {"type": "json_schema", "value": {"name": "n", "schema": {"type": "object"}}}),
        ({"type": "json_object"}, {"type": "json_object", "value": {"type": "object"}}),
        ({"type": "text"}, None),
        ({"type": "json_object", "schema": {"a": 1}}, {"type": "json_object", "value": {"a": 1}}),
        ({"type": "json_object", "value": {"a": 1}}, {"type": "json_object", "value": {"a": 1}}),
        ({"type": "json_schema", "json_schema": "odd"}, {"type": "json_schema", "json_schema": "odd"}),
    ],
)
def test_tgi_has_its_own_spelling_of_formats(given: Json, there: Json | None) -> None:
    """The schema stands under `value`; plain text has no name."""
    assert sent("tgi", response_format=given).get("response_format") == there


def test_tgi_never_sees_a_presence_penalty() -> None:
    """It would read it as a repetition penalty of value + 2."""
    noted: list[str] = []
    assert "presence_penalty" not in sent("tgi", noted=noted, presence_penalty=0.5)
    assert noted == ["presence_penalty"]


def test_no_tool_is_emulated_by_dropping_the_tools() -> None:
    """Ollama ignores tool_choice, so `none` would still call."""
    body = sent("ollama", tools=[TOOL], tool_choice="none", parallel_tool_calls=False)
    assert not body.keys() & {"tools", "tool_choice", "parallel_tool_calls"}


@pytest.mark.parametrize("kind", ["ollama", "llama-cpp"])
@pytest.mark.parametrize(("tools", "choice"), [([TOOL, OTHER], NAMED), ([TOOL], "required")])
def test_a_named_tool_is_emulated_by_its_schema(kind: str, tools: list[Json], choice: Any) -> None:
    """That tool alone, and its parameters as response format."""
    body = sent(kind, tools=tools, tool_choice=choice)
    assert body["tools"] == [TOOL]
    assert "tool_choice" not in body
    assert body["response_format"]["json_schema"]["schema"] == TOOL["function"]["parameters"]
    request = ChatRequest("chat", {"messages": HELLO, "tools": tools, "tool_choice": choice})
    assert forced_function(request, BY_KIND[kind]) == "f"
    assert forced_function(request, BY_KIND["vllm"]) is None


@pytest.mark.parametrize(
    ("kind", "tools", "choice"),
    [
        ("transformers", [TOOL], NAMED),  # it has no formats to force with
        ("ollama", [{"type": "function", "function": {}}], "required"),  # there is nothing to name
        ("ollama", [TOOL, OTHER], "required"),
        ("ollama", [TOOL], {"type": "allowed_tools", "allowed_tools": {"mode": "auto"}}),
        ("llama-cpp", [TOOL], {"type": "allowed_tools", "allowed_tools": {"mode": "auto"}}),
    ],
)
def test_a_choice_that_cannot_be_emulated_is_counted(kind: str, tools: list[Json], choice: Any) -> None:
    """The tools stay, nothing is forced, and an answer in words is not taken for a call."""
    noted: list[str] = []
    body = sent(kind, noted=noted, tools=tools, tool_choice=choice)
    assert body["tools"] == tools
    assert not body.keys() & {"tool_choice", "response_format"}
    assert noted == ["tool_choice"]
    request = ChatRequest("chat", {"messages": HELLO, "tools": tools, "tool_choice": choice})
    assert forced_function(request, BY_KIND[kind]) is None


def test_tool_choice_passes_where_it_is_honoured() -> None:
    """vLLM does it itself, and llama.cpp where it is a word."""
    assert sent("vllm", tools=[TOOL], tool_choice=NAMED)["tool_choice"] == NAMED
    body = sent("llama-cpp", tools=[TOOL, OTHER], tool_choice="required")
    assert (body["tools"], body["tool_choice"]) == ([TOOL, OTHER], "required")


def test_what_is_ignored_is_counted() -> None:
    """Operators see what their users miss; nulls are no wishes."""
    noted: list[str] = []
    sent("ollama", noted=noted, parallel_tool_calls=False, logit_bias={}, verbosity=None)
    assert sorted(noted) == ["logit_bias", "parallel_tool_calls"]


def test_one_prompt_in_a_list_is_one_prompt() -> None:
    """Ollama takes a string only; several prompts go elsewhere, by capability."""
    assert sent("ollama", api="completion", prompt=["once"])["prompt"] == "once"
    assert sent("vllm", api="completion", prompt=["once"])["prompt"] == ["once"]


def test_embeddings_pass_but_for_the_model() -> None:
    """Base64 is asked for by openai-python itself."""
    body = sent("ollama", api="embedding", input=["a"], encoding_format="base64")
    assert body == {"model": "its-name", "input": ["a"], "encoding_format": "base64"}


OFF = {"chat_template_kwargs": {"enable_thinking": False}}


@pytest.mark.parametrize(
    ("kind", "reasoning", "thinks", "fields"),
    [
        ("ollama", "off", True, {"reasoning_effort": "none"}),
        ("ollama", "low", True, {"reasoning_effort": "low"}),
        ("ollama", "low", None, {}),  # an effort is an error for a model that does not think
        ("ollama", "off", False, {}),
        ("ollama", "pass", True, {}),
        ("vllm", "off", None, OFF),
        ("vllm", "low", None, {"reasoning_effort": "low"}),
        ("transformers", "low", None, {}),
        ("openai", "low", None, {"reasoning_effort": "low"}),
        ("ollama", "off", None, {"reasoning_effort": "none"}),
        ("transformers", "off", None, OFF),
        ("llama-cpp", "off", None, {"reasoning_effort": "none"}),
        ("tgi", "off", None, {}),
    ],
)
def test_how_a_backend_is_told_to_think_less(kind: str, reasoning: str, thinks: bool | None, fields: Json) -> None:
    """Thinking models think by default and would spend hundreds of tokens on a greeting."""
    assert thinking_fields(BY_KIND[kind], reasoning, thinks) == fields


def test_the_clients_own_wish_about_thinking_wins() -> None:
    """The config sets a default only."""
    body = sent("ollama", thinking={"reasoning_effort": "none"}, reasoning_effort="high")
    assert body["reasoning_effort"] == "high"
    assert sent("ollama", thinking={"reasoning_effort": "none"})["reasoning_effort"] == "none"
    own = {"enable_thinking": True}
    assert sent("vllm", thinking=OFF, chat_template_kwargs=own)["chat_template_kwargs"] == own


@pytest.mark.parametrize(
    ("kind", "said", "there"),
    [
        ("ollama", OFF, {"reasoning_effort": "none"}),
        ("transformers", {"reasoning_effort": "none"}, OFF),
        ("tgi", {"reasoning_effort": "none"}, {}),
        ("openai", OFF, {}),
    ],
)
def test_not_to_think_is_said_in_words_that_count_there(kind: str, said: Json, there: Json) -> None:
    """Where the client's own are ignored in silence."""
    assert sent(kind, **said) == {**sent(kind), **said, **there}


def test_the_clients_other_words_to_the_template_stay() -> None:
    """The default is added to them."""
    body = sent("vllm", thinking=OFF, chat_template_kwargs={"tone": "dry"})
    assert body["chat_template_kwargs"] == {"tone": "dry", "enable_thinking": False}


def test_the_older_functions_are_counted_where_they_are_dropped() -> None:
    """They pass as they are: vLLM and OpenAI judge for themselves, Ollama drops them in silence."""
    noted: list[str] = []
    body = sent("ollama", noted=noted, functions=[{"name": "f"}], function_call="auto")
    assert body["functions"] == [{"name": "f"}]
    assert sorted(noted) == ["function_call", "functions"]


NAMES = [
    "type",
    "text",
    "image_url",
    "refusal",
    "function",
    "name",
    "parameters",
    "json_schema",
    "schema",
    "value",
    "enable_thinking",
    "include_usage",
    "none",
    "auto",
    "required",
    "f",
    "g",
    "json_object",
    "tool",
    "system",
    "assistant",
    "developer",
]
ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(NAMES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=8,
)
PARTS = st.lists(st.fixed_dictionaries({"type": st.sampled_from(NAMES)}, optional={"text": ODD, "image_url": ODD}))
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", "developer"])},
    optional={"content": ODD | PARTS, "tool_calls": ODD, "reasoning": ODD, "reasoning_content": ODD},
)
FUNCTION = st.fixed_dictionaries({"type": st.just("function")}, optional={"function": ODD})
FIELDS = [
    "tool_choice",
    "response_format",
    "stop",
    "stream_options",
    "reasoning_effort",
    "reasoning",
    "chat_template_kwargs",
    "functions",
    "max_tokens",
    "max_completion_tokens",
    "parallel_tool_calls",
    "presence_penalty",
    "n",
]


@settings(max_examples=150)
@given(
    messages=st.lists(MESSAGE, min_size=1, max_size=3),
    tools=st.none() | st.lists(FUNCTION | st.sampled_from([TOOL, OTHER]), max_size=2),
    fields=st.dictionaries(st.sampled_from(FIELDS), ODD | st.just(NAMED), max_size=4),
    stream=st.booleans(),
)
def test_no_request_that_was_let_in_breaks_a_rule(
    messages: list[Json], tools: list[Json] | None, fields: Json, stream: bool
) -> None:
    """However odd: each kind gets JSON of its own, and the client's body stays as it was."""
    body = {"messages": messages, "tools": tools, "stream": stream, **fields}
    before = orjson.dumps(body)
    with contextlib.suppress(InvalidRequest):
        request = ChatRequest("chat", body)
        for quirks in BY_KIND.values():
            assert orjson.dumps(outbound(request, "m", quirks, quirks.off, lambda field: None))
            forced = forced_function(request, quirks)
            assert forced is None or isinstance(forced, str)
    assert orjson.dumps(body) == before
