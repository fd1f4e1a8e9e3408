"""From a backend's bytes to the client's: one row a rule."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from app.backends.inbound import DONE, Stream, Whole
from app.core.chat import ChatRequest
from app.core.types import Usage
from app.errors import UpstreamFault, UpstreamMalformed, UpstreamUnavailable
from tests.backends.streams import USAGE, Json, chunk, chunk_of_usage, events, last, request, stream, through, whole


def test_ordinary_events_pass_byte_for_byte() -> None:
    """Nothing is re-modelled; [DONE] is ours and there is one."""
    sent = chunk({"role": "assistant", "content": ""}) + chunk({"content": "a"}) + chunk({"content": "b"}) + last()
    for ending in (b"", DONE, DONE + DONE):
        assert through(stream(), sent + ending) == sent + DONE


def test_nothing_is_given_before_something_usable() -> None:
    """A role alone is no answer yet: until then another backend may take over."""
    one = stream()
    assert one.feed(chunk({"role": "assistant", "content": ""})) == b""
    assert one.feed(chunk({"content": "a"})).count(b"data: ") == 2


@pytest.mark.parametrize("place", ["own chunk", "finish chunk", "before the finish"])
@pytest.mark.parametrize("wanted", [True, False])
def test_usage_is_taken_wherever_it_stands(place: str, wanted: bool) -> None:
    """Once, in an event of its own, just before the end; or nowhere if nobody asked."""
    body = {
        "own chunk": chunk({"content": "a"}) + last(USAGE),
        "finish chunk": chunk({"content": "a"}) + chunk({}, "stop", usage=USAGE),
        "before the finish": chunk({"content": "a"}, usage=USAGE) + last(),
    }[place]
    one = stream(usage=wanted)
    out = events(through(one, body))
    assert one.usage == Usage(9, 4, 3)
    carriers = [event for event in out if event.get("usage")]
    assert len(carriers) == int(wanted)
    if wanted:
        assert out[-1]["usage"] == USAGE
        assert out[-1]["choices"] == []


def test_zero_usage_on_every_event_is_not_usage() -> None:
    """Ollama's completions carry it."""
    zero = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    one = stream()
    out = through(one, chunk({"content": "abcd"}, usage=zero), chunk({}, "stop", usage=zero))
    assert b"usage" not in out
    assert one.final_usage().estimated


@pytest.mark.parametrize(
    "said",
    [
        b"",
        chunk_of_usage({"prompt_tokens": 0, "completion_tokens": 0}),
        chunk_of_usage({"prompt_tokens": 2**64 - 1, "completion_tokens": 5}),
    ],
)
def test_missing_usage_is_estimated_and_given_if_asked_for(said: bytes) -> None:
    """A client that counts on it gets one, made from the text, that looks like the other events."""
    out = events(through(stream(usage=True), chunk({"content": "four words of text"}, created=5), last() + said))
    assert out[-1]["usage"]["completion_tokens"] > 0
    assert (out[-1]["id"], out[-1]["created"], out[-1]["choices"]) == ("chatcmpl-7", 5, [])
    assert sum("usage" in event for event in out) == 1


def test_an_answer_that_names_no_model_gets_the_one_asked_for() -> None:
    """What the backend says stands."""
    event = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n'
    named, unnamed = (
        through(Stream(request(), "rid", False, None, "asked"), one) for one in (chunk({"content": "a"}, "stop"), event)
    )
    assert (events(named)[0]["model"], events(unnamed)[0]["model"]) == ("m", "asked")


@pytest.mark.parametrize("body", [b"", chunk({"content": "a"}), chunk({"content": "a"}) + DONE, DONE, b": ping\n\n"])
def test_an_end_without_a_finish_reason_is_a_fault(body: bytes) -> None:
    """Ollama's silent cut looks like success to most clients."""
    one = stream()
    one.feed(body)
    with pytest.raises(UpstreamMalformed):
        one.finish()


def test_an_empty_finish_reason_is_none() -> None:
    """Some servers say "" until the end: a cut there is a cut."""
    one = stream()
    one.feed(chunk({"content": "a"}, ""))
    with pytest.raises(UpstreamMalformed):
        one.finish()


def test_what_comes_after_a_finish_does_not_begin_it_again() -> None:
    """Some servers send empty deltas, or remarks on the content, behind it."""
    assert through(stream(), chunk({"content": "a"}), last(), chunk({"annotations": []})).endswith(DONE)


def test_a_call_of_the_older_kind_is_given_at_once() -> None:
    """function_call came before tool_calls."""
    assert stream().feed(chunk({"function_call": {"name": "f", "arguments": "{"}}))


@pytest.mark.parametrize("error", [{"message": "boom", "code": 500}, "boom"])
def test_an_error_event_is_a_fault_after_what_came_before_it(error: Any) -> None:
    """Good events of the same read are still given."""
    one = stream()
    bad = b"data: " + orjson.dumps({"error": error}) + b"\n\n"
    assert one.feed(chunk({"content": "a"}) + bad) == chunk({"content": "a"})
    with pytest.raises(UpstreamUnavailable):
        one.feed(chunk({"content": "b"}))
    with pytest.raises(UpstreamUnavailable):
        stream().feed(bad)


def test_ids_that_collide_become_one_of_ours() -> None:
    """The same for the whole answer, and for no other."""
    ids = {
        event["id"] for event in events(through(stream(own_ids=True), *[chunk({"content": x}) for x in "abcd"], last()))
    }
    assert ids == {"chatcmpl-rid"}


@pytest.mark.parametrize(("said", "meant"), [("stop_sequence", "stop"), ("eos_token", "stop"), ("length", "length")])
def test_finish_reasons_in_openais_words(said: str, meant: str) -> None:
    """Other words are passed as they are."""
    out = events(through(stream(), chunk({"content": "a"}), chunk({}, said)))
    assert out[-1]["choices"][0]["finish_reason"] == meant


CALL: Json = {"tool_calls": [{"index": 0, "id": "x", "function": {"name": "f", "arguments": "{}"}}]}


@pytest.mark.parametrize("said", ["stop", "eos_token", "stop_sequence"])
def test_a_stop_after_tool_deltas_is_tool_calls(said: str) -> None:
    """TGI says one of these there."""
    out = events(through(stream(), chunk(CALL), chunk({}, said)))
    assert out[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_only_the_choice_that_calls_finishes_so() -> None:
    """With n > 1 one may call and another talk."""
    choices = [{"index": index, "delta": delta, "finish_reason": "stop"} for index, delta in enumerate([CALL, {}])]
    (event,) = events(through(stream(), b"data: " + orjson.dumps({"choices": choices}) + b"\n\n"))
    assert [choice["finish_reason"] for choice in event["choices"]] == ["tool_calls", "stop"]


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_reasoning_has_both_its_names(name: str) -> None:
    """Clients read one or the other."""
    delta = events(through(stream(), chunk({name: "hm"}), last()))[0]["choices"][0]["delta"]
    assert delta["reasoning"] == delta["reasoning_content"] == "hm"


NATIVE = {"tool_calls": [{"index": 0, "id": "x", "function": {"name": "f", "arguments": '{"a":1}'}}]}
WAYS: list[list[Json]] = [
    [{"content": '{"a":1}'}],
    [{"content": '{"a"'}, {"content": ":1}"}],
    [
        {"role": "assistant", "content": ""},
        {"content": "\n "},
        {"content": ' {"a'},
        {"content": '":'},
        {"content": "1}"},
    ],
    [{"reasoning": "hm"}, {"content": '{"a":'}, {"content": ""}, {"content": "1}"}],
    [NATIVE],
    [NATIVE, {"content": "There you are."}],
    [{"content": '{"a":1}'}, NATIVE],
]


@pytest.mark.parametrize("deltas", WAYS)
def test_a_forced_call_arrives_whichever_way_the_backend_writes_it(deltas: list[Json]) -> None:
    """As content in any pieces, or as a call of its own: one call, one id, the name first, arguments whole."""
    out = events(through(stream(forced="f"), *map(chunk, deltas), last()))
    calls = [call for event in out for call in event["choices"][0]["delta"].get("tool_calls", ())]
    assert calls[0]["id"]
    assert [call["function"].get("name") for call in calls] == ["f"] + [None] * (len(calls) - 1)
    assert "".join(call["function"]["arguments"] for call in calls) == '{"a":1}'
    assert out[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_forced_call_is_one_whatever_the_cuts() -> None:
    """The first piece alone carries id and name."""
    raw = b"".join(chunk({"content": text}) for text in ("{", '"a"', ":1}")) + last()
    whole_at_once = through(stream(forced="f"), raw)
    assert through(stream(forced="f"), *[raw[at : at + 7] for at in range(0, len(raw), 7)]) == whole_at_once


def test_an_event_without_an_id_gets_that_of_its_stream() -> None:
    """Or one of ours, if none has any."""
    bare = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
    empty = chunk({"content": "b"}, id="")
    assert {event["id"] for event in events(through(stream(), bare, empty, chunk({}, "stop", id="")))} == {
        "chatcmpl-rid"
    }
    assert {event["id"] for event in events(through(stream(), chunk({"content": "a"}), empty, last()))} == {
        "chatcmpl-7"
    }


def test_nothing_counts_after_done() -> None:
    """Not even what is broken."""
    assert through(stream(), chunk({"content": "a"}) + last() + DONE + b"data: {broken").endswith(DONE)


def test_usage_that_was_asked_for_on_every_event_stays_there() -> None:
    """vLLM's own option; the last event has the whole all the same."""
    asked = request(stream_options={"include_usage": True, "continuous_usage_stats": True})
    one = Stream(asked, "rid", False, None)
    out = events(through(one, chunk({"content": "a"}, usage=USAGE), last(USAGE)))
    assert out[0]["usage"] == USAGE
    assert (out[-1]["usage"], out[-1]["choices"]) == (USAGE, [])


@pytest.mark.parametrize(
    ("said", "known"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 9}}, Usage(5, 2, 5)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": None}, Usage(5, 2)),
        ({"prompt_tokens": 5, "completion_tokens": None}, Usage(5, 0)),
        ({"prompt_tokens": -1, "completion_tokens": 2}, None),
        ({"prompt_tokens": 5, "completion_tokens": "2"}, None),
        ([5, 2], None),
    ],
)
def test_usage_is_believed_only_if_it_can_be_true(said: Any, known: Usage | None) -> None:
    """Counters never run backwards, and more cannot be cached than was sent."""
    one = stream()
    through(one, chunk({"content": "a"}, usage=said), last())
    assert one.usage == known


def test_every_choice_must_finish() -> None:
    """With n > 1 one finished choice does not make an answer."""
    one = stream()
    both = [{"index": index, "delta": {"content": "x"}, "finish_reason": None} for index in (0, 1)]
    one.feed(b"data: " + orjson.dumps({"choices": both}) + b"\n\n" + last())
    with pytest.raises(UpstreamMalformed):
        one.finish()


def answer(message: Json, finish: str | None = "stop", **more: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return orjson.dumps({"id": "chatcmpl-1", "model": "m", "choices": [choice], "usage": USAGE, **more})


def test_an_ordinary_answer_passes_byte_for_byte() -> None:
    """Usage is read, nothing is written."""
    one, body = whole(), answer({"content": "x"}, extra={"kept": True})
    assert one.shape(body) is body
    assert (one.usage, one.model) == (Usage(9, 4, 3), "m")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b'{"id":',
        b"[]",
        b"{}",
        b'{"choices":[]}',
        b'{"choices":[{}]}',
        b'{"choices":1}',
        b'{"error":{"message":"x"}}',
        answer({"content": "x"}, None),
        answer({"content": "x"}, ""),
    ],
)
def test_a_200_that_cannot_be_used_is_a_fault(body: bytes) -> None:
    """Nothing, a page, half of it, an error object, no finish reason: another backend may still answer."""
    with pytest.raises(UpstreamFault):
        whole().shape(body)


def test_tool_calls_without_a_finish_reason_are_finished() -> None:
    """The calls are there, so the answer is complete."""
    call = {"id": "x", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    shaped = orjson.loads(whole().shape(answer({"content": None, "tool_calls": [call]}, None)))
    assert shaped["choices"][0]["finish_reason"] == "tool_calls"


def test_a_whole_forced_call_becomes_a_call() -> None:
    """Content that is the arguments moves to where clients look."""
    shaped = orjson.loads(whole(forced="f").shape(answer({"content": '{"a":1}'})))
    message = shaped["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a":1}'}
    assert shaped["choices"][0]["finish_reason"] == "tool_calls"


def test_an_answer_that_cannot_be_written_again_is_a_fault() -> None:
    """It nests deeper than the writer goes, though it could be read."""
    deep = b"[" * 500 + b"]" * 500
    body = b'{"id":"x","choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"more":' + deep + b"}"
    with pytest.raises(UpstreamMalformed):
        whole(own_ids=True).shape(body)


def test_embeddings_are_not_touched() -> None:
    """Also where they are base64."""
    body = orjson.dumps(
        {"object": "list", "data": [{"embedding": "AAAA"}], "model": "e", "usage": {"prompt_tokens": 3}}
    )
    one = Whole(ChatRequest("embedding", {"input": "x"}), "rid", True, None)
    assert one.shape(body) is body
    assert one.usage == Usage(3, 0)
