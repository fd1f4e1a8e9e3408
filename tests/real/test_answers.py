"""Answers of a real llama-server through the gateway to the real openai-python, whole and streamed.

What a model with random weights says is noise, and sampled anew each time; so the words are checked against the
server's own token list, and the counts against its own counters.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.real.house import House, hello
from tests.real.llama import Llama

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
MOST = 24  # tokens of an answer


def whole(house: House, text: str = "How are you?", **fields: Any) -> Any:
    asked: dict[str, Any] = {"model": "auto", "messages": hello(text), "max_tokens": MOST, **fields}
    return house.client.chat.completions.create(**asked)


def streamed(house: House, text: str = "How are you?", **fields: Any) -> list[Any]:
    return list(whole(house, text, stream=True, **fields))


def said(choice: Any) -> bytes:
    """The bytes of an answer's tokens, as its log probabilities have them."""
    return b"".join(bytes(token.bytes) for token in choice.logprobs.content)


def test_a_whole_answer(house: House) -> None:
    """From the small tier, under the name of its model, with all headers and its own counts."""
    raw = house.client.chat.completions.with_raw_response.create(model="auto", messages=hello(), max_tokens=MOST)
    answer = raw.parse()
    assert [raw.headers[f"x-smallfirst-{name}"] for name in ("tier", "backend", "attempts")] == ["slm", "small", "1"]
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "length"
    assert answer.id.startswith("chatcmpl-")
    assert answer.model == raw.headers["x-smallfirst-model"]
    assert answer.usage is not None
    assert answer.usage.completion_tokens == MOST
    assert answer.usage.prompt_tokens == prompt_tokens(house.llama, hello())
    assert house.large.seen.requests == 0


def prompt_tokens(llama: Llama, messages: list[Any]) -> int:
    """As the server counts the prompt that its template makes of them."""
    status, made = llama.post("/apply-template", {"messages": messages})
    assert status == 200
    return llama.tokens(made["prompt"])


@pytest.mark.parametrize("asked", [True, False])
def test_usage_of_a_stream(house: House, asked: bool) -> None:
    """One event of its own at the end for whom asked, none for others; the gateway counts in either case."""
    before = {kind: house.metric("tokens_total", backend="small", kind=kind) for kind in ("input", "cached", "output")}
    chunks = streamed(house, stream_options={"include_usage": True}) if asked else streamed(house)
    usages = [chunk.usage for chunk in chunks if chunk.usage is not None]
    assert [chunk.choices for chunk in chunks].count([]) == len(usages) == asked
    counted = {kind: house.metric("tokens_total", backend="small", kind=kind) - was for kind, was in before.items()}
    assert counted["output"] == MOST
    assert counted["input"] + counted["cached"] == prompt_tokens(house.llama, hello())
    if asked:
        assert chunks[-1].usage == usages[0]
        assert usages[0].completion_tokens == MOST
        assert usages[0].prompt_tokens_details.cached_tokens == counted["cached"]


def test_a_stream_comes_in_pieces(house: House) -> None:
    """Role first, then words, then one finish reason; one id and one model for all."""
    chunks = streamed(house)
    assert len({chunk.id for chunk in chunks}) == len({chunk.model for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert sum(bool(chunk.choices[0].delta.content) for chunk in chunks) > MOST / 3  # some tokens are half a character
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == ["length"]


def test_logprobs_of_a_whole_answer(house: House) -> None:
    """One entry for each token, with as many alternatives as were asked for; their bytes are the answer."""
    choice = whole(house, logprobs=True, top_logprobs=3).choices[0]
    assert len(choice.logprobs.content) == MOST
    assert {len(token.top_logprobs) for token in choice.logprobs.content} == {3}
    assert all(token.logprob <= 0 for token in choice.logprobs.content)
    assert said(choice).decode("utf-8", "replace").startswith(choice.message.content.rstrip("\ufffd"))


def test_logprobs_of_a_stream(house: House) -> None:
    """Each event that has them has them for its own words."""
    chunks = streamed(house, logprobs=True, top_logprobs=2)
    having = [chunk.choices[0] for chunk in chunks if chunk.choices[0].logprobs]
    assert len(having) > MOST / 3
    assert all(len(token.top_logprobs) == 2 for choice in having for token in choice.logprobs.content)
    assert all(choice.delta.content for choice in having)


def test_the_end_of_the_text(house: House) -> None:
    """A token of the template's that ends the answer is no text, and the reason is `stop`."""
    end = house.llama.post("/tokenize", {"content": "<|im_end|>"})[1]["tokens"]
    answer = whole(house, logit_bias={str(end[0]): 100})
    assert (answer.choices[0].finish_reason, answer.choices[0].message.content) == ("stop", "")
    assert answer.usage.completion_tokens == 1


@pytest.mark.parametrize("stream", [False, True])
def test_several_choices(house: House, stream: bool) -> None:
    """`n` of them, each with its index and its own end, as long as there are slots."""
    if stream:
        chunks = streamed(house, n=2)
        ended = {chunk.choices[0].index: chunk.choices[0].finish_reason for chunk in chunks if chunk.choices}
    else:
        ended = {choice.index: choice.finish_reason for choice in whole(house, n=2).choices}
    assert ended == {0: "length", 1: "length"}


@pytest.mark.parametrize("stream", [False, True])
def test_a_text_completion(house: House, stream: bool) -> None:
    """Without a template; its prompt is counted as the vocabulary has it."""
    prompt = "The quick brown fox"
    asked: dict[str, Any] = {"model": "auto", "prompt": prompt, "max_tokens": MOST, "stream": stream}
    if stream:
        asked["stream_options"] = {"include_usage": True}
    answer: Any = house.client.completions.create(**asked)
    last = list(answer)[-1] if stream else answer
    assert last.usage.prompt_tokens == house.llama.tokens(prompt)
    assert last.usage.completion_tokens == MOST


def test_several_prompts(house: House) -> None:
    """A list of texts gives a choice for each."""
    answer = house.client.completions.create(model="auto", prompt=["one", "two"], max_tokens=4)
    assert sorted(choice.index for choice in answer.choices) == [0, 1]


def test_a_conversation_in_all_its_forms(house: House) -> None:
    """Parts, a developer, earlier reasoning, and efforts: the template takes it all."""
    parts = [{"type": "text", "text": "Part one."}, {"type": "text", "text": "Part two."}]
    messages = [
        {"role": "developer", "content": "Be brief."},
        *hello(),
        {"role": "assistant", "content": "Fine.", "reasoning": "A greeting."},
        {"role": "user", "content": parts},
    ]
    for effort in ("none", "low"):
        answer = whole(house, messages=messages, reasoning_effort=effort)
        assert answer.usage.completion_tokens == MOST
    assert house.large.seen.requests == 0
