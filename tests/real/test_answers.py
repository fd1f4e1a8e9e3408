"""Answers of a real llama-server through the gateway to the real openai-python, whole and streamed.

What a model with random weights says is noise; here it is made to choose among a few words, each a token. So the answer
is checked against the server's own token list, and the counts against its own.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.real.house import NAME, TO_THE_LIMIT, House, hello
from tests.real.llama import Llama

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
MOST = 24  # tokens of an answer
WORDS = " red green blue grey"


def whole(house: House, text: str = "How are you?", **fields: Any) -> Any:
    asked: dict[str, Any] = {"model": "auto", "messages": hello(text), "max_tokens": MOST}
    asked |= {"logit_bias": house.llama.bias(WORDS), **fields}
    return house.client.chat.completions.create(**asked)


def streamed(house: House, text: str = "How are you?", **fields: Any) -> list[Any]:
    return list(whole(house, text, stream=True, **fields))


def spelled(tokens: list[Any]) -> str:
    """The text of an answer as its log probabilities have it."""
    return b"".join(bytes(token.bytes) for token in tokens).decode()


def test_a_whole_answer(house: House) -> None:
    """From the small tier, under the name of its model, with all headers and its own counts."""
    raw = house.client.chat.completions.with_raw_response.create(
        model="auto", messages=hello(), max_tokens=MOST, extra_body=TO_THE_LIMIT
    )
    answer = raw.parse()
    assert [raw.headers[f"x-smallfirst-{name}"] for name in ("tier", "backend", "attempts")] == ["slm", "small", "1"]
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "length"
    assert answer.id.startswith("chatcmpl-")
    assert answer.model == raw.headers["x-smallfirst-model"] == NAME
    assert answer.usage is not None
    assert answer.usage.completion_tokens == MOST
    assert answer.usage.prompt_tokens == prompt_tokens(house.llama, hello())


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
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices[0].delta.content]
    assert len(pieces) == MOST
    assert set("".join(pieces).split()) <= set(WORDS.split())
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == ["length"]


def test_logprobs_of_a_whole_answer(house: House) -> None:
    """One entry for each token, with as many alternatives as were asked for; their bytes are the answer."""
    choice = whole(house, logprobs=True, top_logprobs=3).choices[0]
    tokens = choice.logprobs.content
    assert len(tokens) == MOST
    assert {len(token.top_logprobs) for token in tokens} == {3}
    assert all(token.logprob <= 0 for token in tokens)
    assert spelled(tokens) == choice.message.content


def test_logprobs_of_a_stream(house: House) -> None:
    """Each event of words has them for its own words."""
    chunks = streamed(house, logprobs=True, top_logprobs=2)
    having = [chunk.choices[0] for chunk in chunks if chunk.choices[0].delta.content]
    assert len(having) == MOST
    for choice in having:
        assert [len(token.top_logprobs) for token in choice.logprobs.content] == [2]
        assert spelled(choice.logprobs.content) == choice.delta.content


def test_the_end_of_the_text(house: House) -> None:
    """A token of the template's that ends the answer is no text, and the reason is `stop`."""
    end = house.llama.post("/tokenize", {"content": "<|im_end|>"})[1]["tokens"]
    answer = whole(house, logit_bias={str(end[0]): 100})
    assert (answer.choices[0].finish_reason, answer.choices[0].message.content) == ("stop", "")
    assert answer.usage.completion_tokens == 1


def test_several_choices_are_made_by_another(house: House) -> None:
    """The server has them, but tells the tokens of one only; so the request is routed around it."""
    status, alone = house.llama.post("/v1/chat/completions", {"messages": hello(), "max_tokens": MOST, "n": 2})
    assert status == 200
    assert (len(alone["choices"]), alone["usage"]["completion_tokens"]) == (2, MOST)
    raw = house.client.chat.completions.with_raw_response.create(model="auto", messages=hello(), n=2)
    assert len(raw.parse().choices) == 2
    assert [raw.headers[f"x-smallfirst-{name}"] for name in ("tier", "reason")] == ["llm", "capability"]


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
        assert answer.model == NAME
        assert answer.usage.completion_tokens == MOST
