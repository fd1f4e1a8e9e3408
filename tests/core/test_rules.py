"""Rules: every condition, what follows, and what is never read without need."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.chat import ChatRequest
from app.core.patterns import PATTERNS
from app.core.rules import NOTHING, Rule, Ruling, glob, header_names, heard, judge, texts
from app.core.types import Caller

ID_CARD = "11010519491231002X"
ANYONE = Caller("r1")
PRIVATE = Rule("private", patterns=(PATTERNS["id-card"], PATTERNS["phone"]), local_only=True)
TEAM = Rule("team", keys=frozenset({"app"}), tier="llm")


def chat(*messages: Any, **fields: Any) -> ChatRequest:
    said = [{"role": "user", "content": one} if isinstance(one, str) else one for one in messages or ("hi",)]
    return ChatRequest("chat", {"messages": said, **fields}, 100)


def says(rule: Rule, request: ChatRequest | None = None, caller: Caller = ANYONE) -> bool:
    return judge([replace(rule, tier="llm")], request or chat(), caller).tier == "llm"


def test_keys() -> None:
    """By the name of the client's key; whoever has none is nobody."""
    assert says(TEAM, caller=replace(ANYONE, key="app"))
    assert not says(TEAM, caller=replace(ANYONE, key="other"))
    assert not says(TEAM)


@pytest.mark.parametrize(
    ("pattern", "model", "holds"),
    [
        ("gpt-4*", "gpt-4o-mini", True),
        ("gpt-4*", "my-gpt-4", False),
        ("gpt-4o", "gpt-4o", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("*/qwen?", "org/qwen3", True),
        ("o1.*", "o1.mini", True),
        ("o1.*", "o1xmini", False),
        ("***", "anything", True),
        ("*" + "a*" * 30 + "b", "a" * 100_000, False),
    ],
)
def test_models(pattern: str, model: str, holds: bool) -> None:
    """The name that was asked for, by a name or a glob over the whole of it."""
    assert says(Rule("r", models=(glob("other"), glob(pattern))), chat(model=model)) == holds


def test_headers() -> None:
    """All that are named, each with its whole value; of one that was sent twice one is enough."""
    rule = Rule("r", headers=(("x-team", re.compile("finance")), ("x-class", re.compile("[cs].*"))))
    names = header_names([rule, TEAM])
    assert names == {b"x-team", b"x-class"}
    for sent, holds in [
        ([(b"x-team", b"finance"), (b"x-class", b"secret")], True),
        ([(b"x-team", b"finance"), (b"x-class", b"secret"), (b"x-class", b"open")], True),
        ([(b"x-team", b"finances"), (b"x-class", b"secret")], False),
        ([(b"x-team", b"finance")], False),
        ([], False),
    ]:
        caller = replace(ANYONE, headers=heard(names, [(b"authorization", b"Bearer x"), *sent]))
        assert says(rule, caller=caller) == holds
        assert "x" not in dict(caller.headers).values()


PART = {"type": "text", "text": f"id {ID_CARD}"}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": f'{{"id": "{ID_CARD}"}}'}}
WHEREVER: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": f"my id is {ID_CARD}"}]},
    {"messages": [{"role": "user", "content": f"id {ID_CARD}"}, {"role": "user", "content": "thanks"}]},
    {"messages": [{"role": "system", "content": ID_CARD}, {"role": "user", "content": "hi"}]},
    {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}, PART]}]},
    {"messages": [{"role": "assistant", "content": None, "tool_calls": [CALL]}, {"role": "user", "content": "hi"}]},
    {"messages": [{"role": "tool", "tool_call_id": "c", "content": f"[{ID_CARD}]"}]},
    {"messages": [{"role": "tool", "content": [{"type": "tool_result", "content": [PART]}]}]},
    {"messages": [{"role": "assistant", "content": "", "function_call": {"name": "f", "arguments": ID_CARD}}]},
    {"messages": [{"role": "assistant", "content": "", "reasoning_content": ID_CARD}]},
    {"messages": [{"role": "user", "content": "hi"}], "tools": [{"function": {"description": ID_CARD}}]},
    {"messages": [{"role": "user", "content": "hi"}], "prediction": {"type": "content", "content": ID_CARD}},
    {"messages": [{"role": "user", "content": "hi"}], "metadata": {"customer": ID_CARD}},
    {"messages": [{"role": "user", "content": "hi"}], "metadata": {"id": ID_CARD}},
    {"messages": [{"role": "user", "content": "hi"}], "tools": [{"function": {"parameters": {"id": ID_CARD}}}]},
    {"messages": [{"role": "user", "type": "file", "content": ID_CARD}]},
    {"messages": [{"role": "user", "content": [{"type": "file", "file": {}, "name": ID_CARD}]}]},
]


@pytest.mark.parametrize("body", WHEREVER)
def test_content_wherever_it_stands(body: dict[str, Any]) -> None:
    """All that leaves with the request is read, not only the last message."""
    assert judge([PRIVATE], ChatRequest("chat", body), ANYONE) == Ruling(keeps_local="private")


@pytest.mark.parametrize(
    "request_", [ChatRequest("completion", {"prompt": ["a", ID_CARD]}), ChatRequest("embedding", {"input": ID_CARD})]
)
def test_content_of_the_other_apis(request_: ChatRequest) -> None:
    """Prompts and inputs are content too."""
    assert judge([PRIVATE], request_, ANYONE).keeps_local == "private"


def test_what_is_not_content() -> None:
    """Media and the labels of the API say nothing; words in separate places make no number together."""
    image = {"type": "image_url", "image_url": {"url": f"data:{ID_CARD}"}}
    labels = chat({"role": ID_CARD, "content": [image]}, model=ID_CARD)
    assert not says(PRIVATE, labels)
    assert not says(PRIVATE, chat(ID_CARD[:9], ID_CARD[9:]))
    assert sorted(texts({"type": "text", "text": "a", "more": ["b", {"c": {"d": "e"}}, 5, None]})) == ["a", "b", "e"]


def test_regexes() -> None:
    """The operator's own, over the text as it was written and as it is folded."""
    rule = Rule("r", regexes=(re.compile("内部：绝密"), re.compile(r"\bPROJ-\d+")))
    assert says(rule, chat("内部：绝密"))
    assert says(rule, chat("see PROJ-17"))
    assert says(rule, chat("see ＰＲＯＪ－１７"))
    assert not says(rule, chat("see the project"))


def test_patterns_and_regexes_are_one_condition() -> None:
    """What is named under content: any of it."""
    rule = replace(PRIVATE, regexes=(re.compile("secret"),))
    assert says(rule, chat("secret"))
    assert says(rule, chat(ID_CARD))
    assert not says(rule, chat("open"))


def test_all_conditions_must_hold() -> None:
    """One that fails is enough to leave the rule out."""
    rule = replace(PRIVATE, keys=frozenset({"app"}), models=(glob("gpt-*"),))
    caller = replace(ANYONE, key="app")
    assert says(rule, chat(ID_CARD, model="gpt-4o"), caller)
    assert not says(rule, chat(ID_CARD, model="gpt-4o"))
    assert not says(rule, chat(ID_CARD), caller)
    assert not says(rule, chat("hi", model="gpt-4o"), caller)


ALWAYS = Rule("always")


def test_the_first_tier_counts_and_every_local_only() -> None:
    """Whatever its place, a rule that keeps local does."""
    rules = [
        replace(TEAM, name="no"),
        replace(ALWAYS, name="a", tier="slm"),
        replace(ALWAYS, name="b", tier="llm"),
        replace(ALWAYS, name="c", tier="llm", local_only=True),
        replace(ALWAYS, name="d", local_only=True),
    ]
    assert judge(rules, chat(), ANYONE) == Ruling("slm", "a", "c")
    assert judge(rules[3:], chat(), ANYONE) == Ruling("llm", "c", "c")
    assert judge(rules[4:], chat(), ANYONE) == Ruling(None, None, "d")


class Unread(ChatRequest):
    """Its text is not to be read."""

    def __init__(self) -> None:
        super().__init__("chat", {"messages": [{"role": "user", "content": "hi"}]})
        self.body = Explosive(self.body)


class Explosive(dict[str, Any]):
    def items(self) -> Any:
        raise AssertionError("read")


def test_text_is_read_only_when_it_can_matter() -> None:
    """No rules, rules without content, rules whose other conditions fail, rules that could change nothing."""
    tier = replace(PRIVATE, tier="llm", local_only=False)
    assert judge([], Unread(), ANYONE) is NOTHING
    assert judge([TEAM, replace(tier, keys=frozenset({"app"}))], Unread(), ANYONE) is NOTHING
    assert judge([replace(ALWAYS, tier="slm"), tier], Unread(), ANYONE).tier == "slm"
    assert judge([replace(ALWAYS, local_only=True), PRIVATE], Unread(), ANYONE).keeps_local == "always"
    with pytest.raises(AssertionError, match="read"):
        judge([PRIVATE], Unread(), ANYONE)


def test_depth_does_not_matter() -> None:
    """A body is searched to its bottom without recursion."""
    deep: Any = ID_CARD
    for _ in range(100_000):
        deep = [deep]
    assert judge([PRIVATE], chat(x=deep), ANYONE).keeps_local == "private"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "text", "content"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON, JSON)
def test_nothing_hides_it(before: Any, after: Any) -> None:
    """Whatever else a message holds, the number in it is found."""
    content = [{"type": "text", "x": before, "text": ID_CARD, "y": after}]
    assert says(PRIVATE, chat({"role": "user", "content": content, "z": after}, metadata={"m": before}))
