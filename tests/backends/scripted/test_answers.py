"""What the fake says: deterministic, in the language it was asked in, in the form it was asked for."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from app.backends.scripted import answers
from tests.backends.scripted.asking import WEATHER, chat

TREE = {"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "required": ["name"], "properties": {}}}}
TREE["$defs"]["node"]["properties"] = {  # type: ignore[index]
    "name": {"type": "string"},
    "left": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
}
SCHEMAS: list[tuple[dict[str, Any], Any]] = [
    ({"type": "string"}, "example"),
    ({"type": "string", "maxLength": 2}, "ex"),
    ({"type": "string", "minLength": 9}, "exampleee"),
    ({"type": "string", "format": "date"}, "2026-03-14"),
    ({"type": ["null", "integer"]}, 7),
    ({"type": "integer", "minimum": 10, "maximum": 12}, 10),
    ({"type": "integer", "exclusiveMaximum": 3}, 2),
    ({"type": "number", "multipleOf": 0.5, "minimum": 0.7}, 1.0),
    ({"type": "boolean"}, True),
    ({"type": "null"}, None),
    ({"enum": ["b", "a"]}, "b"),
    ({"const": 3}, 3),
    ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [7, 7]),
    ({"oneOf": [{"type": "boolean"}, {"type": "null"}]}, True),
    ({"$ref": "#/$defs/word", "$defs": {"word": {"enum": ["yes"]}}}, "yes"),
    ({"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"const": 2}}}]}, {"a": 1, "b": 2}),
]


@pytest.mark.parametrize(("schema", "value"), SCHEMAS)
def test_values_satisfy_their_schema(schema: dict[str, Any], value: Any) -> None:
    """Each keyword that schemas of tools use has its way in the value."""
    assert answers.value(schema) == value


def test_a_schema_that_contains_itself_has_an_end() -> None:
    """A recursive schema gives a finite value with what is required."""
    made = answers.value(TREE)
    assert made["name"] == "example"
    assert len(orjson.dumps(made)) < 1000


def say(body: dict[str, Any], **how: Any) -> answers.Answer:
    return answers.answer(body, **{"thinks": False, "honours_choice": True, "honours_format": True, **how})


def test_it_answers_in_the_language_of_the_question_and_always_the_same() -> None:
    """Chinese to Chinese, English to English, and once more the same."""
    english, chinese = say(chat("How are you?")), say(chat("你好，请解释一下"))
    assert "".join(english.pieces).isascii()
    assert not "".join(chinese.pieces).isascii()
    assert say(chat("How are you?")) == english


def test_pieces_are_the_tokens_of_the_text() -> None:
    """The pieces join to the text, and there are as many as are counted."""
    text = "Two words, 三个字. "
    assert answers.count("Two words") == 2
    assert answers.count("三个字") == 3
    said = say(chat(text))
    assert answers.count("".join(said.pieces)) == said.tokens


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_an_answer_has_at_most_the_tokens_allowed(name: str) -> None:
    """Thoughts count as well: a small limit leaves no room for an answer."""
    body = {**chat(), name: 3}
    assert (say(body).finish, say(body).tokens) == ("length", 3)
    thinking = say(body, thinks=True)
    assert (len(thinking.thoughts), thinking.pieces, thinking.finish) == (3, [], "length")


def test_thinking_takes_hundreds_of_tokens() -> None:
    """A thinking model spends far more on thoughts than on the answer."""
    assert len(say(chat("Hi"), thinks=True).thoughts) > 100


@pytest.mark.parametrize("stop", ["the", ["zebra", "the"]])
def test_it_stops_before_a_stop_sequence(stop: Any) -> None:
    """A text or a list of them; what follows is not said."""
    asked = chat("How do I sort a list?")
    whole, cut = "".join(say(asked).pieces), say({**asked, "stop": stop})
    assert "the" in whole
    assert whole.startswith("".join(cut.pieces))
    assert "the" not in "".join(cut.pieces)
    assert cut.stopped


NAMED = {"type": "function", "function": {"name": "get_weather"}}
CALLS: list[tuple[str, Any, bool, bool]] = [
    ("How is the weather?", None, True, True),
    ("How are you?", None, True, False),
    ("How are you?", "required", True, True),
    ("How are you?", NAMED, True, True),
    ("How is the weather?", "none", True, False),
    ("How are you?", NAMED, False, False),
    ("How is the weather?", "none", False, True),
]


@pytest.mark.parametrize(("text", "choice", "honours", "called"), CALLS)
def test_tools_are_called_when_asked_for(text: str, choice: Any, honours: bool, called: bool) -> None:
    """By the choice where it is honoured, else by what the question is about."""
    body = chat(text, tools=[WEATHER]) | ({} if choice is None else {"tool_choice": choice})
    said = say(body, honours_choice=honours)
    assert (said.call is not None) is called
    if said.call:
        assert said.call == ("get_weather", '{"city":"example"}')


def test_a_required_call_is_the_one_that_fits() -> None:
    """What the question is about goes before what stands first, also after the first call."""
    final = {"type": "function", "function": {"name": "final_answer"}}
    for text, name in (("the weather?", "get_weather"), ("my final words", "final_answer"), ("?", "final_answer")):
        said = say(chat(text, tools=[final, WEATHER], tool_choice="required"))
        assert said.call is not None
        assert said.call[0] == name


def test_a_tool_result_is_answered_in_words() -> None:
    """After the call comes the answer, not the call again."""
    body = chat("How is the weather?", tools=[WEATHER])
    body["messages"] += [{"role": "tool", "tool_call_id": "1", "content": "sunny"}]
    assert say(body).call is None


FORMATS: list[tuple[dict[str, Any], Any]] = [
    ({"type": "json_object"}, {"answer": "example"}),
    ({"type": "json_schema", "json_schema": {"name": "n", "schema": {"properties": {"a": {"const": 1}}}}}, {"a": 1}),
    ({"type": "json_schema", "value": {"name": "n", "schema": {"properties": {"a": {"const": 1}}}}}, {"a": 1}),
    ({"type": "json_object", "value": {"properties": {"a": {"const": 1}}}}, {"a": 1}),
]


@pytest.mark.parametrize(("wanted", "value"), FORMATS)
def test_structured_answers(wanted: dict[str, Any], value: Any) -> None:
    """JSON in both spellings of a response format; prose from a server that ignores it."""
    body = chat(response_format=wanted)
    assert orjson.loads("".join(say(body).pieces)) == value
    assert not "".join(say(body, honours_format=False).pieces).startswith("{")


def test_embeddings_are_deterministic() -> None:
    """The same text has the same vector, another text another one."""
    assert answers.embedding("a") == answers.embedding("a") != answers.embedding("b")


def test_prompts_of_every_form_are_counted() -> None:
    """Messages with parts and tools, texts, lists of texts, arrays of tokens."""
    parts = {"messages": [{"role": "user", "content": [{"type": "text", "text": "two words"}]}]}
    assert answers.prompt_tokens(parts) == 5
    assert answers.prompt_tokens({**parts, "tools": [WEATHER]}) > 20
    assert answers.prompt_tokens({"prompt": "two words"}) == 2
    assert answers.prompt_tokens({"input": ["two words", "one"]}) == 3
    assert answers.prompt_tokens({"input": [5, 6, 7]}) == 3
