"""Rules as the config writes them: what becomes of them, and what each mistake is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.core.chat import ChatRequest
from app.core.rules import Ruling, judge
from app.core.types import Caller
from app.settings import GatewayConfig, Source, as_yaml, resolved
from tests.settings.configs import TWO, load, problems

KEYS = "keys: [{name: app, env: APP_KEY}]\n"
EXAMPLE = Path(__file__).parents[2] / "config/examples/rules.yaml"


def ruled(*rules: str) -> str:
    return TWO + KEYS + "routing:\n  rules:\n" + "".join(f"    - {rule}\n" for rule in rules)


def ruling(config: GatewayConfig, content: str, caller: Caller, model: str = "auto") -> Ruling:
    request = ChatRequest("chat", {"model": model, "messages": [{"role": "user", "content": content}]})
    return judge(config.rules(), request, caller)


def test_every_condition_and_consequence() -> None:
    """As written, in their order."""
    config = load(
        ruled(
            "{name: ids, when: {content: [id-card, {regex: 'X-[0-9]'}]}, then: {local_only: true}}",
            "{name: team, when: {key: [app], header: {X-Team: a.b, x-cost: {regex: 'l.w'}}}, then: {tier: slm}}",
            "{name: big, when: {model: ['gpt-4*']}, then: {tier: llm}}",
        )
    ).config
    app = Caller("r", key="app", headers=(("x-team", "a.b"), ("x-cost", "low")))
    other = Caller("r", key="app", headers=(("x-team", "acb"), ("x-cost", "low")))
    assert ruling(config, "hi", app) == Ruling("slm", "team")
    assert ruling(config, "hi", app, "gpt-4o") == Ruling("slm", "team")
    assert ruling(config, "hi", other, "gpt-4o") == Ruling("llm", "big")
    assert ruling(config, "11010519491231002X", other) == Ruling(keeps_local="ids")
    assert ruling(config, "X-7", app) == Ruling("slm", "team", "ids")
    assert load(TWO).config.rules() == ()


RULE = "{name: r, when: {content: [id-card]}, then: {tier: slm}}"
MISTAKES = [
    ("id-card]", "id-cart]", "routing.rules[0].when.content[0]: must be 'id-card', 'ssn', 'phone', 'email', "),
    ("id-card]", "id-cart]", "or 'secret'; did you mean 'id-card'?"),
    ("id-card]", "7]", "routing.rules[0].when.content[0]: must be 'id-card'"),
    ("id-card]", "{regex: '(x'}]", "routing.rules[0].when.content[0].regex: not a regular expression of Python, see"),
    ("id-card]", "{regex: '(x+)+'}]", "content[0].regex: a repetition inside a repetition"),
    ("id-card]", "{regex: x, regexp: x}]", "content[0].regexp: unknown key; did you mean 'regex'?"),
    ("[id-card]", "[]", "routing.rules[0].when.content: "),
    ("content", "contents", "routing.rules[0].when.contents: unknown key; did you mean 'content'?"),
    ("{content: [id-card]}", "{}", "routing.rules[0].when: name at least one of key, header, model and content"),
    ("{content: [id-card]}", "{key: [ap]}", "routing.rules[0].when.key: there is no key 'ap'; did you mean 'app'?"),
    ("{content: [id-card]}", "{header: {authorization: x}}", "holds a secret; name the client under 'key' instead"),
    ("{content: [id-card]}", "{header: {'x y': x}}", "not the name of a header"),
    ("{content: [id-card]}", "{header: {x-a: 5}}", "routing.rules[0].when.header.x-a: must be a valid string"),
    ("{tier: slm}", "{tier: slmm}", "routing.rules[0].then.tier: there is no tier 'slmm'; did you mean 'slm'?"),
    ("{tier: slm}", "{teir: slm}", "routing.rules[0].then.teir: unknown key; did you mean 'tier'?"),
    ("{tier: slm}", "{}", "routing.rules[0].then: write a tier, or local_only: true, or both"),
    ("{tier: slm}", "{tier: llm, local_only: true}", "then: the tier 'llm' has no local backend"),
    (", then: {tier: slm}", "", "routing.rules[0].then: missing"),
    ("name: r, ", "", "routing.rules[0].name: missing"),
]


@pytest.mark.parametrize(("old", "new", "said"), MISTAKES)
def test_mistakes(old: str, new: str, said: str) -> None:
    """One line each, with the key's place and the likely spelling."""
    found = problems(ruled(RULE.replace(old, new)))
    assert len(found) == 1
    assert said in found[0]


def test_names_differ() -> None:
    """A plan names its rule, so there is one of that name."""
    assert problems(ruled(RULE, RULE)) == ["routing.rules: two rules are named 'r'"]


def test_local_only_needs_somewhere_to_stay() -> None:
    """A rule that could only refuse is a mistake in the config."""
    rule = "{name: r, when: {content: [id-card]}, then: {local_only: true}}"
    text = ruled(rule).replace("zone: local", "zone: remote")
    assert problems(text) == [
        "routing.rules[0].then.local_only: no backend of a tier is in zone local, so all would be refused"
    ]


def test_the_resolved_config_is_one() -> None:
    """What `check` prints of rules loads again, to the same rules."""
    config = Source(EXAMPLE, {}).load().config
    plain = config.model_dump(mode="json", exclude_none=True) | {"routing": resolved(config, {})["routing"]}
    assert load(as_yaml(plain)).config.routing.rules == config.routing.rules


@pytest.mark.parametrize(
    ("content", "caller", "model", "expected"),
    [
        ("你好", Caller("r"), "auto", Ruling()),
        ("call 138 0013 8000", Caller("r"), "auto", Ruling(keeps_local="private-data")),
        ("status of PROJECT-007", Caller("r"), "auto", Ruling(keeps_local="project-names")),
        ("hi", Caller("r", headers=(("x-data-class", "restricted"),)), "auto", Ruling(keeps_local="classified")),
        ("hi", Caller("r", key="app"), "gpt-5-mini", Ruling("llm", "reviews")),
        ("hi", Caller("r", key="batch"), "gpt-5-mini", Ruling("slm", "batch-is-cheap")),
    ],
)
def test_the_example(content: str, caller: Caller, model: str, expected: Ruling) -> None:
    """It does what its comments say."""
    assert ruling(Source(EXAMPLE, {}).load().config, content, caller, model) == expected
