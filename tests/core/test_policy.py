"""The policy: every reason, every refusal, and no path out of the local zone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.chat import ChatRequest
from app.core.policy import intent, plan
from app.core.rules import Rule
from app.core.types import STATES, Caller, Candidate, Capability, Plan, Reason, Score, State, Step, View, Zone
from app.errors import (
    ClientFault,
    ContextTooLong,
    Forbidden,
    GatewayError,
    InvalidRequest,
    NoBackendAvailable,
    UnknownModel,
)

ALL: frozenset[str] = frozenset(get_args(Capability))
LOW, HIGH = Score(0.1), Score(0.9)


def candidate(
    backend: str,
    tier: str,
    zone: Zone = "local",
    *,
    model: str | None = None,
    lacks: str = "",
    window: int | None = None,
    state: State = "ready",
) -> Candidate:
    return Candidate(Step(backend, tier), zone, model or f"{backend}-model", ALL - {lacks}, window, state)


SMALL = candidate("ollama", "slm")
LARGE = candidate("endpoint", "llm", "remote")
VIEW = View(("slm", "llm"), (SMALL, LARGE), threshold=0.5, default_tier="slm")
ANYONE = Caller("r1")
HOMEBODY = Caller("r1", local_only=True)


def request(**fields: Any) -> ChatRequest:
    size = fields.pop("size", 100)
    return ChatRequest("chat", {"messages": [{"role": "user", "content": "hi"}], **fields}, size)


def decide(
    asked: ChatRequest | None = None, caller: Caller = ANYONE, score: Score | None = LOW, view: View = VIEW
) -> Plan:
    asked = asked or request()
    return plan(asked, caller, intent(asked, caller, view), score, view)


def backends(decided: Plan) -> str:
    return " ".join(step.backend for step in decided.steps)


def view(*candidates: Candidate, **fields: Any) -> View:
    return replace(VIEW, candidates=candidates, **fields)


TOOLS = {"tools": [{"type": "function", "function": {"name": "f"}}]}
LONG = {"messages": [{"role": "user", "content": "word " * 4000}], "size": 20_100}
SEND, KEEP = Rule("send", tier="llm"), Rule("keep", local_only=True)
RULED, KEPT = replace(VIEW, rules=(SEND,)), replace(VIEW, rules=(KEEP,))
DECISIONS: list[tuple[str, ChatRequest, Caller, Score | None, View, str, Reason]] = [
    ("easy", request(), ANYONE, LOW, VIEW, "ollama endpoint", "score"),
    ("hard", request(), ANYONE, HIGH, VIEW, "endpoint ollama", "score"),
    ("at the threshold", request(), ANYONE, Score(0.5), VIEW, "endpoint ollama", "score"),
    ("any other model", request(model="gpt-4o"), ANYONE, LOW, VIEW, "ollama endpoint", "score"),
    ("no score", request(), ANYONE, None, VIEW, "ollama endpoint", "router-unavailable"),
    (
        "no score, other default",
        request(),
        ANYONE,
        None,
        view(SMALL, LARGE, default_tier="llm"),
        "endpoint ollama",
        "router-unavailable",
    ),
    ("tier by model", request(model="llm"), ANYONE, LOW, VIEW, "endpoint ollama", "explicit-tier"),
    ("tier by header", request(), replace(ANYONE, tier="llm"), LOW, VIEW, "endpoint ollama", "explicit-tier"),
    (
        "header over unknown model",
        request(model="gpt-4o"),
        replace(ANYONE, tier="llm"),
        LOW,
        VIEW,
        "endpoint ollama",
        "explicit-tier",
    ),
    ("model", request(model="endpoint-model"), ANYONE, LOW, VIEW, "endpoint", "explicit-model"),
    (
        "model with its tier",
        request(model="endpoint-model"),
        replace(ANYONE, tier="llm"),
        LOW,
        VIEW,
        "endpoint",
        "explicit-model",
    ),
    ("spelled, below", request(model="router-mf-0.95"), ANYONE, HIGH, VIEW, "ollama endpoint", "score"),
    ("spelled, above", request(model="router-mf-0.05"), ANYONE, LOW, VIEW, "endpoint ollama", "score"),
    ("any router's name", request(model="router-sw_ranking-0.05"), ANYONE, LOW, VIEW, "endpoint ollama", "score"),
    ("any name at all", request(model="router-my-own-v2.1-0.05"), ANYONE, LOW, VIEW, "endpoint ollama", "score"),
    ("rule", request(), ANYONE, LOW, RULED, "endpoint ollama", "rule"),
    ("rule without score", request(), ANYONE, None, RULED, "endpoint ollama", "rule"),
    ("rule over a spelled threshold", request(model="router-mf-0.95"), ANYONE, LOW, RULED, "endpoint ollama", "rule"),
    ("tier over rule", request(model="slm"), ANYONE, HIGH, RULED, "ollama endpoint", "explicit-tier"),
    ("model over rule", request(model="ollama-model"), ANYONE, HIGH, RULED, "ollama", "explicit-model"),
    ("local only over rule", request(), HOMEBODY, HIGH, RULED, "ollama", "local-only"),
    ("rule keeps local", request(), ANYONE, HIGH, KEPT, "ollama", "local-only"),
    ("rule keeps local what is asked locally", request(model="slm"), ANYONE, HIGH, KEPT, "ollama", "explicit-tier"),
    ("two rules", request(), ANYONE, HIGH, replace(KEPT, rules=(SEND, KEEP)), "ollama", "local-only"),
    (
        "rule among local tiers",
        request(),
        HOMEBODY,
        LOW,
        view(SMALL, candidate("gpu", "llm"), rules=(SEND,)),
        "gpu ollama",
        "rule",
    ),
    (
        "capability over rule",
        request(**TOOLS),
        ANYONE,
        LOW,
        view(SMALL, candidate("endpoint", "llm", "remote", lacks="tools"), rules=(SEND,)),
        "ollama",
        "capability",
    ),
    ("local only", request(), HOMEBODY, HIGH, VIEW, "ollama", "local-only"),
    ("local only without score", request(), HOMEBODY, None, VIEW, "ollama", "local-only"),
    ("local only, local tier", request(model="slm"), HOMEBODY, HIGH, VIEW, "ollama", "explicit-tier"),
    ("local only, local model", request(model="ollama-model"), HOMEBODY, HIGH, VIEW, "ollama", "explicit-model"),
    ("all local", request(), HOMEBODY, HIGH, view(SMALL, candidate("gpu", "llm")), "gpu ollama", "score"),
    ("one tier", request(), HOMEBODY, HIGH, view(SMALL, tiers=("slm",)), "ollama", "score"),
    (
        "capability",
        request(**TOOLS),
        ANYONE,
        LOW,
        view(candidate("ollama", "slm", lacks="tools"), LARGE),
        "endpoint",
        "capability",
    ),
    (
        "capability not needed to move",
        request(**TOOLS),
        ANYONE,
        HIGH,
        view(candidate("ollama", "slm", lacks="tools"), LARGE),
        "endpoint",
        "score",
    ),
    (
        "context window",
        request(**LONG),
        ANYONE,
        LOW,
        view(candidate("ollama", "slm", window=4096), LARGE),
        "endpoint",
        "context-window",
    ),
    (
        "fits when counted",
        request(**LONG),
        ANYONE,
        LOW,
        view(candidate("ollama", "slm", window=8192), LARGE),
        "ollama endpoint",
        "score",
    ),
    (
        "room for the answer is not demanded",
        request(max_tokens=9999),
        ANYONE,
        LOW,
        view(candidate("ollama", "slm", window=4096), LARGE),
        "ollama endpoint",
        "score",
    ),
    (
        "down goes last",
        request(),
        ANYONE,
        LOW,
        view(candidate("ollama", "slm", state="down"), LARGE),
        "endpoint ollama",
        "score",
    ),
    (
        "all down",
        request(),
        ANYONE,
        LOW,
        view(candidate("ollama", "slm", state="down"), replace(LARGE, state="down")),
        "ollama endpoint",
        "score",
    ),
    (
        "asleep is not down",
        request(),
        ANYONE,
        HIGH,
        view(SMALL, replace(LARGE, state="asleep")),
        "endpoint ollama",
        "score",
    ),
    (
        "second of a tier",
        request(),
        ANYONE,
        LOW,
        view(candidate("a", "slm", state="down"), candidate("b", "slm"), LARGE),
        "b endpoint a",
        "score",
    ),
]


@pytest.mark.parametrize(
    ("asked", "caller", "score", "seen", "order", "reason"),
    [row[1:] for row in DECISIONS],
    ids=[row[0] for row in DECISIONS],
)
def test_decisions(
    asked: ChatRequest, caller: Caller, score: Score | None, seen: View, order: str, reason: Reason
) -> None:
    """Which backends may be tried, in which order, and the first reason for it."""
    decided = decide(asked, caller, score, seen)
    assert (backends(decided), decided.reason) == (order, reason)


def test_every_reason_is_in_the_table() -> None:
    """The closed set of reasons and the table above are the same."""
    assert {row[-1] for row in DECISIONS} == set(get_args(Reason))


def test_a_plan_names_its_rule() -> None:
    """The one that chose the tier, else the one that keeps it local; none that did not count."""
    both = replace(VIEW, rules=(SEND, KEEP))
    assert (decide(view=RULED).rule, decide(view=RULED).score, decide(view=RULED).threshold) == ("send", 0.1, None)
    assert decide(view=KEPT).rule == decide(view=both).rule == "keep"
    assert decide(request(model="slm"), view=RULED).rule is None
    assert decide(caller=HOMEBODY, view=RULED).rule is None
    assert decide().rule is None


def test_what_is_for_the_score() -> None:
    """A router is asked only where its answer could count; whoever keeps it local is in the intent."""
    assert intent(request(), ANYONE, VIEW).open
    assert intent(request(), ANYONE, KEPT).open
    assert not intent(request(), ANYONE, RULED).open
    assert not intent(request(model="llm"), ANYONE, VIEW).open
    told = [intent(request(), *one).local_only for one in ((ANYONE, VIEW), (ANYONE, KEPT), (HOMEBODY, VIEW))]
    assert told == [False, True, True]


def test_a_backend_that_counts_more_fits_less() -> None:
    """A window is compared with what that backend will count, not with what we guess."""
    long = {"messages": [{"role": "user", "content": "word " * 4000}], "size": 20_100}
    window = request(**long).estimated_tokens() + 100
    small = candidate("ollama", "slm", window=window)
    assert decide(request(**long), view=view(small, LARGE)).reason == "score"
    assert decide(request(**long), view=view(replace(small, token_rate=1.1), LARGE)).reason == "context-window"
    with pytest.raises(ContextTooLong, match=str(round(1.1 * (window - 100)))):
        decide(request(**long), view=view(replace(small, token_rate=1.1)))


def test_a_score_that_was_asked_for_is_in_the_plan() -> None:
    """Score and threshold are told when they decided; a wish has no threshold."""
    assert (decide().score, decide().threshold) == (0.1, 0.5)
    assert decide(request(model="router-mf-0.25")).threshold == 0.25
    assert decide(request(model="slm")).threshold is None
    assert decide(score=None).score is None


def test_three_tiers_one_of_them_remote() -> None:
    """A local-only request whose score asks for the remote tier is served locally, and for that reason."""
    seen = view(SMALL, candidate("gpu", "mid"), LARGE, tiers=("slm", "mid", "llm"))
    assert decide(caller=HOMEBODY, score=LOW, view=seen).reason == "score"
    moved = decide(caller=HOMEBODY, score=HIGH, view=seen)
    assert (backends(moved), moved.reason) == ("ollama gpu", "local-only")


BLIND = view(candidate("ollama", "slm", lacks="vision"), candidate("endpoint", "llm", "remote", lacks="vision"))
IMAGE = request(messages=[{"role": "user", "content": [{"type": "image_url"}]}])
FORMAT = request(response_format={"type": "json_schema"})
NO_SCHEMA = view(candidate("ollama", "slm", lacks="json_schema"))
TINY = view(candidate("ollama", "slm", window=2048), candidate("endpoint", "llm", "remote", window=4096))
BOUND = replace(ANYONE, may_force_tier=False)
REJECTING = replace(VIEW, unknown_models="reject")
REFUSALS: list[tuple[str, ChatRequest, Caller, View, type[GatewayError], str | None, str]] = [
    ("unknown tier", request(), replace(ANYONE, tier="xl"), VIEW, InvalidRequest, "x-smallfirst-tier", "slm, llm"),
    (
        "model outside its tier",
        request(model="ollama-model"),
        replace(ANYONE, tier="llm"),
        VIEW,
        InvalidRequest,
        "model",
        "'auto'",
    ),
    ("unknown model", request(model="gpt-4o"), ANYONE, REJECTING, UnknownModel, "model", "/v1/models"),
    ("bound key, tier", request(model="llm"), BOUND, VIEW, Forbidden, "model", "'auto'"),
    ("bound key, header", request(), replace(BOUND, tier="llm"), VIEW, Forbidden, "model", "'auto'"),
    ("bound key, model", request(model="endpoint-model"), BOUND, VIEW, Forbidden, "model", "'auto'"),
    ("bound key, threshold", request(model="router-mf-0"), BOUND, VIEW, Forbidden, "model", "'auto'"),
    ("local only, remote tier", request(model="llm"), HOMEBODY, VIEW, InvalidRequest, "model", "Ask for a local tier"),
    ("local only, remote model", request(model="endpoint-model"), HOMEBODY, VIEW, InvalidRequest, "model", "'auto'"),
    ("rule keeps local, remote tier", request(model="llm"), ANYONE, KEPT, InvalidRequest, "model", "the rule 'keep'"),
    (
        "rule keeps local, remote model",
        request(model="endpoint-model"),
        ANYONE,
        KEPT,
        InvalidRequest,
        "model",
        "Ask for a local tier",
    ),
    ("rule keeps local, header", request(), replace(ANYONE, tier="llm"), KEPT, InvalidRequest, "model", "rule 'keep'"),
    ("rule, unknown model", request(model="x"), ANYONE, replace(REJECTING, rules=(SEND,)), UnknownModel, "model", "x"),
    ("local only, all remote", request(), HOMEBODY, view(LARGE), InvalidRequest, "model", "no local backend"),
    ("nobody sees", IMAGE, ANYONE, BLIND, InvalidRequest, "messages", "vision"),
    ("nobody has schemas", FORMAT, ANYONE, NO_SCHEMA, InvalidRequest, "response_format", "json_schema"),
    (
        "nobody has tools",
        request(**TOOLS),
        ANYONE,
        view(candidate("a", "slm", lacks="tools")),
        InvalidRequest,
        "tools",
        "tools",
    ),
    (
        "the only local one cannot",
        IMAGE,
        HOMEBODY,
        view(candidate("a", "slm", lacks="vision"), LARGE),
        InvalidRequest,
        "messages",
        "vision",
    ),
    ("too long for all", request(**LONG), ANYONE, TINY, ContextTooLong, "messages", "4096"),
    ("too long for the local ones", request(**LONG), HOMEBODY, TINY, ContextTooLong, "messages", "2048"),
    ("nothing configured", request(), ANYONE, view(), NoBackendAvailable, None, "No backend"),
]


@pytest.mark.parametrize(
    ("asked", "caller", "seen", "error", "param", "words"),
    [row[1:] for row in REFUSALS],
    ids=[row[0] for row in REFUSALS],
)
def test_refusals(
    asked: ChatRequest, caller: Caller, seen: View, error: type[GatewayError], param: str | None, words: str
) -> None:
    """What cannot be served is refused with its field and the cure, not served elsewhere."""
    with pytest.raises(error) as refusal:
        decide(asked, caller, LOW, seen)
    assert refusal.value.param == param
    assert words in refusal.value.message


def test_a_long_completion_names_its_prompt() -> None:
    """The field of an overflow is the one the API has."""
    with pytest.raises(ContextTooLong) as refusal:
        decide(ChatRequest("completion", {"prompt": "word " * 4000}, 20_100), view=TINY)
    assert refusal.value.param == "prompt"


@pytest.mark.parametrize("model", ["auto", "router-mf-0.5", "slm", "ollama-model"])
def test_rejecting_unknown_models_keeps_known_ones(model: str) -> None:
    """With unknown_models: reject, everything the gateway has names for still works."""
    assert decide(request(model=model), view=REJECTING).steps


@pytest.mark.parametrize("model", ["router-mf", "router--0.5", "router-mf-.5", "router-mf-0.5x", "Router-mf-0.5"])
def test_other_spellings_are_just_unknown_models(model: str) -> None:
    """Only RouteLLM's own spelling sets a threshold."""
    assert decide(request(model=model)).threshold == 0.5


CANDIDATES = st.builds(
    candidate,
    st.sampled_from("abcde"),
    st.sampled_from(["slm", "mid", "llm"]),
    st.sampled_from(get_args(Zone)),
    model=st.sampled_from(["m1", "m2", "m3"]),
    lacks=st.sampled_from(["", "tools", "vision"]),
    window=st.sampled_from([None, 64, 4096, 100_000]),
    state=st.sampled_from(STATES),
)
VIEWS = st.builds(
    View,
    st.just(("slm", "mid", "llm")),
    st.lists(CANDIDATES, max_size=6).map(tuple),
    st.floats(0, 1),
    st.sampled_from(["slm", "mid", "llm"]),
    st.sampled_from(["route", "reject"]),
    st.sampled_from([(), (SEND,), (KEEP,), (SEND, KEEP)]),
)
CALLERS = st.builds(
    Caller,
    st.just("r1"),
    local_only=st.booleans(),
    may_force_tier=st.booleans(),
    tier=st.sampled_from([None, "slm", "llm", "xl"]),
)
REQUESTS = st.builds(
    lambda model, extra: request(model=model, **extra),
    st.sampled_from(["auto", "m1", "m3", "slm", "llm", "gpt-4o", "router-x-0.3"]),
    st.sampled_from([{}, TOOLS, LONG, {"messages": IMAGE.messages}]),
)
SCORES = st.none() | st.builds(Score, st.floats(0, 1))


@given(REQUESTS, CALLERS, SCORES, VIEWS)
def test_whatever_comes_the_promises_hold(asked: ChatRequest, caller: Caller, score: Score | None, seen: View) -> None:
    """Zone, capability and a model's name are never left on any step; a refusal is the client's fault or says
    that nothing is configured."""
    try:
        decided = decide(asked, caller, score, seen)
    except (ClientFault, NoBackendAvailable):
        return
    assert decided.steps
    chosen = [one for step in decided.steps for one in seen.candidates if one.step == step]
    local = caller.local_only or KEEP in seen.rules
    allowed = [one for one in chosen if asked.needs <= one.has and not (local and one.zone == "remote")]
    for step in decided.steps:
        assert any(one.step == step for one in allowed), "each step is a candidate that may serve"
    if decided.reason == "explicit-model":
        assert all(any(one.model == asked.model for one in chosen if one.step == step) for step in decided.steps)
    if not caller.may_force_tier:
        assert decided.reason not in ("explicit-model", "explicit-tier")
        assert decided.threshold == (None if SEND in seen.rules else seen.threshold)  # a rule leaves nothing to a score


@given(st.lists(CANDIDATES, min_size=1, max_size=6, unique_by=lambda one: one.step.backend), SCORES)
def test_local_only_walks_local_steps_alone(candidates: list[Candidate], score: Score | None) -> None:
    """With one candidate a backend, every step of a local-only plan is in zone local, the fallbacks too."""
    zones = {one.step.backend: one.zone for one in candidates}
    try:
        decided = decide(caller=HOMEBODY, score=score, view=view(*candidates, tiers=("slm", "mid", "llm")))
    except ClientFault:
        return
    assert {zones[step.backend] for step in decided.steps} == {"local"}


@given(st.lists(CANDIDATES, min_size=1, max_size=6, unique_by=lambda one: one.step.backend), SCORES)
def test_down_backends_are_the_last_resort(candidates: list[Candidate], score: Score | None) -> None:
    """All that are not down come first, among them the preferred tier first; none is dropped for being down."""
    states = {one.step.backend: one.state for one in candidates}
    decided = decide(score=score, view=view(*candidates, tiers=("slm", "mid", "llm")))
    down = [states[step.backend] == "down" for step in decided.steps]
    assert down == sorted(down)
