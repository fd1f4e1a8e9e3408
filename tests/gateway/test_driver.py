"""The driver over fakes: what is tried, what is told, and that every slot comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.types import Capacity, Facts, Plan, Record, Step, Timeouts
from app.errors import (
    DeadlineExceeded,
    GatewayError,
    InvalidRequest,
    Saturated,
    UnknownModel,
    UpstreamFault,
    UpstreamLoading,
    UpstreamMalformed,
    UpstreamOverflow,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from app.gateway import Delivery
from tests.fakes import ANSWER, EVENTS, HANG, FakeBackend, FakeRouter, Play, Rig, a_caller, a_request, two_tiers
from tests.serving import PATIENCE

FAULTS = [
    UpstreamOverflow,
    UpstreamRefused,
    UpstreamRateLimited,
    UpstreamLoading,
    UpstreamUnavailable,
    UpstreamTimeout,
    UpstreamMalformed,
]


def failing(error: Exception, name: str = "small", at: str = "head", **options: Any) -> FakeBackend:
    play = Play(head=error) if at == "head" else Play((error,))
    return FakeBackend(name, play, **options)


async def ask(rig: Rig, caller: dict[str, Any] | None = None, **fields: Any) -> Delivery:
    """The whole way up to the first usable event."""
    return await rig.gateway.open(rig.gateway.begin(a_request(**fields), a_caller(**(caller or {}))))


async def answer(rig: Rig, caller: dict[str, Any] | None = None, **fields: Any) -> bytes:
    delivery = await ask(rig, caller, **fields)
    body = delivery.whole()
    delivery.close()
    return body


def outcomes(record: Record) -> list[tuple[str, str]]:
    return [(receipt.backend, receipt.outcome) for receipt in record.receipts]


# --- what is tried ------------------------------------------------------------------------------------------


async def test_first_answers() -> None:
    """The backend of the plan's first step answers; nobody else is asked."""
    rig = two_tiers()
    assert await answer(rig) == ANSWER
    small, large = rig.backends
    assert (len(small.sent), len(large.sent)) == (1, 0)
    assert small.sent[0][1] == "req-1"
    record = rig.record
    assert (record.outcome, record.status, record.error) == ("ok", 200, None)
    assert (record.tier, record.backend, record.model) == ("slm", "small", "small-model")
    assert (record.reason, record.score, record.threshold, record.final_reason) == ("score", 0.1, 0.5, None)
    assert rig.inflight() == 0


async def test_score_decides() -> None:
    """At or above the threshold the large tier is asked first."""
    rig = two_tiers(router=FakeRouter(0.5))
    await answer(rig)
    assert rig.record.tier == "llm"


@pytest.mark.parametrize("at", ["head", "first read"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.kind)
async def test_falls_back(fault: type[UpstreamFault], at: str) -> None:
    """Whatever fails before the first usable event, the next backend answers."""
    rig = two_tiers(failing(fault("no"), at=at))
    assert await answer(rig) == ANSWER
    record = rig.record
    assert outcomes(record) == [("small", fault.kind), ("large", "ok")]
    assert (record.tier, record.backend, record.final_reason) == ("llm", "large", f"fallback:{fault.kind}")
    assert (record.reason, record.outcome) == ("score", "ok")
    assert rig.inflight() == 0


async def test_nothing_is_no_answer() -> None:
    """A backend that says 200 and then ends is a failure like any other."""
    rig = two_tiers(FakeBackend("small", Play(())))
    assert await answer(rig) == ANSWER
    assert rig.record.final_reason == "fallback:malformed"


async def test_final_fault_stops() -> None:
    """What the client did wrong is not tried elsewhere."""
    rig = two_tiers(failing(UpstreamRejected("bad temperature", param="temperature")))
    with pytest.raises(UpstreamRejected):
        await ask(rig)
    assert rig.backends[1].sent == []
    record = rig.record
    assert (record.outcome, record.status, record.error) == ("client-error", 400, "rejected")
    assert outcomes(record) == [("small", "rejected")]


TELLING = [
    ("retry beats broken", [UpstreamLoading("l", retry_after=7), UpstreamUnavailable("u")], "loading", 7),
    ("soonest", [UpstreamRateLimited("r", retry_after=9), UpstreamLoading("l", retry_after=3)], "loading", 3),
    ("unknown is later", [UpstreamLoading("l"), UpstreamRateLimited("r", retry_after=9)], "rate-limited", 9),
    ("last one", [UpstreamTimeout("t"), UpstreamUnavailable("u")], "unavailable", None),
    ("final wins", [UpstreamLoading("l", retry_after=1), UpstreamRejected("x")], "rejected", None),
]


@pytest.mark.parametrize(("faults", "kind", "retry_after"), [row[1:] for row in TELLING], ids=[r[0] for r in TELLING])
async def test_all_fail(faults: list[UpstreamFault], kind: str, retry_after: float | None) -> None:
    """When nobody answers, the client is told what it can act on, with the time to come back."""
    rig = two_tiers(failing(faults[0]), failing(faults[1], "large", zone="remote"))
    story = rig.gateway.begin(a_request(), a_caller())
    with pytest.raises(UpstreamFault) as told:
        await rig.gateway.open(story)
    assert (told.value.kind, told.value.retry_after) == (kind, retry_after)
    assert story.trail == (("small", faults[0].kind), ("large", faults[1].kind))
    assert rig.record.error == kind
    assert rig.inflight() == 0


async def test_full_house_goes_on() -> None:
    """A backend without a free slot or place in its queue is passed over, and leaves no receipt."""
    rig = two_tiers(FakeBackend("small", capacity=Capacity(1, 0, 1.0)))
    held = await ask(rig)
    assert await answer(rig) == ANSWER
    assert outcomes(rig.record) == [("large", "ok")]
    assert rig.record.final_reason == "fallback:saturated"
    held.close()
    assert rig.inflight() == 0


async def test_whole_house_full() -> None:
    """All full: 503 with a time to come back, counted as shed."""
    tight = Capacity(1, 0, 1.0)
    rig = Rig([("slm", FakeBackend("small", capacity=tight))])
    held = await ask(rig)
    with pytest.raises(Saturated) as told:
        await ask(rig)
    assert told.value.retry_after is not None
    assert rig.record.outcome == "shed"
    held.close()


async def test_waits_for_a_slot() -> None:
    """A queued request goes on when a slot becomes free, and its wait is known."""
    rig = Rig([("slm", FakeBackend("small", capacity=Capacity(1, 4, 5.0)))])
    held = await ask(rig)
    queued = asyncio.create_task(answer(rig))
    await asyncio.sleep(0.01)
    assert len(rig.backends[0].sent) == 1
    held.close()
    assert await asyncio.wait_for(queued, PATIENCE) == ANSWER
    assert rig.records[1].receipts[0].queued > 0
    assert rig.inflight() == 0


# --- deciding -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [RuntimeError("broken"), None], ids=["raises", "no opinion"])
async def test_router_unavailable(value: Exception | None) -> None:
    """Without a score the default tier serves; a failure is reported, never shown."""
    rig = two_tiers(router=FakeRouter(value))
    assert await answer(rig) == ANSWER
    record = rig.record
    assert (record.reason, record.tier, record.score) == ("router-unavailable", "slm", None)
    assert rig.router_failures == ([value] if value else [])
    assert record.classify is not None


async def test_explicit_model_is_not_scored() -> None:
    """Who names a model gets it, and the router is not asked."""
    rig = two_tiers(router=FakeRouter(RuntimeError("never asked")))
    await answer(rig, model="large-model")
    assert (rig.record.reason, rig.record.backend, rig.record.classify) == ("explicit-model", "large", None)
    assert rig.router_failures == []


async def test_refusals_are_recorded() -> None:
    """What may not be served ends in one record, before any backend is asked."""
    rig = two_tiers(unknown_models="reject")
    with pytest.raises(UnknownModel):
        rig.gateway.begin(a_request(model="gpt-9"), a_caller())
    assert (rig.record.outcome, rig.record.status, rig.record.receipts) == ("client-error", 404, ())


async def test_bug_in_the_policy_is_recorded() -> None:
    """Even an error that nobody foresaw leaves a record."""
    rig = two_tiers()
    request = a_request()
    request.body["model"] = 7  # past all checks
    with pytest.raises(TypeError):
        rig.gateway.begin(request, a_caller())
    assert (rig.record.status, rig.record.error) == (500, "internal")


def test_refuse() -> None:
    """What never became a request is counted, too."""
    rig = two_tiers()
    rig.gateway.refuse(a_caller(), InvalidRequest("no JSON"))
    assert rig.record.outcome == "client-error"


def test_decide_counts_nothing() -> None:
    """The plan alone leaves no record."""
    rig = two_tiers(router=FakeRouter(0.9))
    assert rig.gateway.decide(a_request(), a_caller()) == Plan(
        (Step("large", "llm"), Step("small", "slm")), "score", 0.9, 0.5
    )
    assert rig.records == []


def test_explain() -> None:
    """Score and contributions, or nothing if the router fails or has no opinion."""
    assert two_tiers(router=FakeRouter(0.25)).gateway.explain(a_request()) == (0.25, [("bias", -1.5), ("length", 0.25)])
    assert two_tiers(router=FakeRouter(None)).gateway.explain(a_request()) == (None, [])
    rig = two_tiers(router=FakeRouter(ValueError("broken")))
    assert rig.gateway.explain(a_request()) == (None, [])
    assert len(rig.router_failures) == 1


def test_view_follows_the_facts() -> None:
    """What probing learns is seen by the next request."""
    rig = two_tiers()
    before = rig.gateway.view()
    assert rig.gateway.view() is before
    rig.backends[0].facts = Facts("down")
    assert rig.gateway.view().candidates[0].state == "down"


# --- embeddings ---------------------------------------------------------------------------------------------


async def test_embeddings_have_one_backend() -> None:
    """Embeddings go to their own backend, unscored."""
    embedder = FakeBackend("embedder")
    rig = two_tiers(embeddings=embedder, router=FakeRouter(RuntimeError("never asked")))
    assert await answer(rig, api="embedding", model="text-embedding-3-small") == ANSWER
    assert len(embedder.sent) == 1
    assert (rig.record.api, rig.record.reason, rig.record.backend) == ("embedding", "explicit-model", "embedder")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.kind)
async def test_embeddings_never_fall_back(fault: type[UpstreamFault]) -> None:
    """Vectors of different models cannot be mixed, so a failure is told."""
    rig = two_tiers(embeddings=failing(fault("no"), "embedder"))
    with pytest.raises(fault):
        await ask(rig, api="embedding")
    assert [len(backend.sent) for backend in rig.backends] == [0, 0]
    assert rig.inflight() == 0


async def test_embeddings_in_batches() -> None:
    """A list of strings needs nothing special; token arrays are refused with the cure."""
    rig = two_tiers(embeddings=FakeBackend("embedder"))
    assert await answer(rig, api="embedding", input=["a", "b"]) == ANSWER
    with pytest.raises(InvalidRequest, match="check_embedding_ctx_length"):
        await ask(rig, api="embedding", input=[1, 2, 3])


async def test_local_embeddings_stay_local() -> None:
    """A local-only request is refused by a remote embedding backend."""
    embedder = FakeBackend("embedder", zone="remote")
    rig = two_tiers(embeddings=embedder)
    with pytest.raises(InvalidRequest) as told:
        await ask(rig, {"local_only": True}, api="embedding")
    assert told.value.code == "local_only_conflict"
    assert embedder.sent == []


async def test_embeddings_not_configured() -> None:
    """Without a backend for them, the error names the setting."""
    with pytest.raises(InvalidRequest, match="embeddings: "):
        await ask(two_tiers(), api="embedding")


# --- slots, cancellation, limits ----------------------------------------------------------------------------


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelled_in_the_queue() -> None:
    """A client that leaves the queue costs nothing and is recorded as cancelled."""
    rig = Rig([("slm", FakeBackend("small", capacity=Capacity(1, 4, 5.0)))])
    held = await ask(rig)
    task = asyncio.create_task(ask(rig))
    await asyncio.sleep(0)
    await cancelled(task)
    assert (rig.record.outcome, rig.record.status, rig.record.receipts) == ("cancelled", 499, ())
    held.close()
    assert rig.inflight() == 0


@pytest.mark.parametrize("play", [Play(head=HANG), Play((HANG,))], ids=["head", "first read"])
async def test_cancelled_before_the_first_token(play: Play) -> None:
    """A client that leaves while a backend thinks frees it at once; nobody else is asked."""
    rig = two_tiers(FakeBackend("small", play))
    task = asyncio.create_task(ask(rig, stream=True))
    await rig.backends[0].reached.wait()
    await asyncio.sleep(0)
    await cancelled(task)
    assert rig.backends[0].running == 0
    assert rig.backends[1].sent == []
    assert outcomes(rig.record) == [("small", "cancelled")]
    assert rig.inflight() == 0


def limits(**changes: float) -> Timeouts:
    return Timeouts(**{"connect": 0.02, "first_token": 5.0, "inter_token": 5.0, "total": 5.0, "load": 5.0, **changes})


@pytest.mark.parametrize("play", [Play(head=HANG), Play((HANG,))], ids=["head", "first read"])
@pytest.mark.parametrize("short", ["first_token", "total"])
async def test_too_slow_falls_back(play: Play, short: str) -> None:
    """A backend that does not answer in time is closed, and the next one answers."""
    small = FakeBackend("small", play, timeouts=limits(**{short: 0.02}))
    rig = two_tiers(small)
    assert await asyncio.wait_for(answer(rig), PATIENCE) == ANSWER
    assert small.running == 0
    assert outcomes(rig.record) == [("small", "timeout"), ("large", "ok")]
    assert rig.inflight() == 0


async def test_deadline_ends_all_attempts() -> None:
    """The client's deadline is not a backend's fault: no fallback, no retry."""
    small = FakeBackend("small", Play(head=HANG))
    rig = two_tiers(small)
    with pytest.raises(DeadlineExceeded):
        await asyncio.wait_for(ask(rig, {"deadline": rig.now() + 0.02}), PATIENCE)
    assert rig.backends[1].sent == []
    assert (rig.record.outcome, rig.record.status) == ("shed", 504)
    assert rig.inflight() == small.running == 0


async def test_deadline_passed_between_attempts() -> None:
    """No second attempt starts after the deadline."""
    clock = iter(range(1000))
    rig = two_tiers(failing(UpstreamUnavailable("no")), now=lambda: float(next(clock)))
    with pytest.raises(DeadlineExceeded):
        await ask(rig, {"deadline": 5.5})
    assert rig.backends[1].sent == []


@pytest.mark.parametrize("state", ["loading", "asleep"])
async def test_known_to_be_loading(state: Any) -> None:
    """A backend that is known to load has the allowance from the start and is not asked again."""
    wake = asyncio.Event()
    small = FakeBackend("small", Play(head=wake), state=state, timeouts=limits(first_token=0.01))
    rig = Rig([("slm", small)])
    task = asyncio.create_task(answer(rig))
    await asyncio.sleep(0.05)
    wake.set()
    assert await asyncio.wait_for(task, PATIENCE) == ANSWER
    assert small.asked == 0


async def test_found_to_be_loading() -> None:
    """At the first-token limit the backend is asked once whether it loads, and then given its allowance."""
    wake = asyncio.Event()
    small = FakeBackend("small", Play(head=wake), warm=True, timeouts=limits(first_token=0.01))
    rig = Rig([("slm", small)])
    task = asyncio.create_task(answer(rig))
    await asyncio.sleep(0.05)
    wake.set()
    assert await asyncio.wait_for(task, PATIENCE) == ANSWER
    assert small.asked == 1


async def test_allowance_ends() -> None:
    """Loading for longer than the allowance is a timeout."""
    small = FakeBackend("small", Play(head=HANG), warm=True, timeouts=limits(first_token=0.01, load=0.01))
    rig = two_tiers(small)
    assert await asyncio.wait_for(answer(rig), PATIENCE) == ANSWER
    assert (small.asked, rig.record.final_reason) == (1, "fallback:timeout")


@pytest.mark.parametrize("warm", [HANG, UpstreamUnavailable("no")], ids=["hangs", "fails"])
async def test_nobody_knows_whether_it_loads(warm: Any) -> None:
    """A backend that cannot even say whether it loads is not waited for."""
    small = FakeBackend("small", Play(head=HANG), warm=warm, timeouts=limits(first_token=0.01))
    rig = two_tiers(small)
    assert await asyncio.wait_for(answer(rig), PATIENCE) == ANSWER
    assert rig.record.final_reason == "fallback:timeout"


@pytest.mark.parametrize("at", ["head", "first read"])
async def test_bug_in_a_backend(at: str) -> None:
    """An error that nobody foresaw is not tried elsewhere, but frees its slot and is recorded."""
    rig = two_tiers(failing(ZeroDivisionError("oops"), at=at))
    with pytest.raises(ZeroDivisionError):
        await ask(rig)
    assert rig.backends[0].running == 0
    assert outcomes(rig.record) == [("small", "internal")]
    assert rig.inflight() == 0


# --- receipts -----------------------------------------------------------------------------------------------


async def test_receipts() -> None:
    """Each attempt that reached a backend has a receipt with its usage and price."""
    rig = two_tiers(failing(UpstreamUnavailable("no")))
    await answer(rig)
    failed, served = rig.record.receipts
    assert (failed.tier, failed.usage, failed.nano_usd, failed.first_token) == ("slm", None, None, None)
    assert (served.tier, served.usage) == ("llm", Play().usage)
    assert served.nano_usd == 10 * 1000 + 5 * 2000
    assert served.first_token is not None
    assert served.seconds >= served.first_token


async def test_model_that_answered() -> None:
    """The backend's word on the model counts more than the configured name."""
    rig = Rig([("slm", FakeBackend("small", Play(model="qwen3:4b-q4")))])
    await answer(rig)
    assert rig.record.model == "qwen3:4b-q4"


# --- properties ---------------------------------------------------------------------------------------------

PLAYS = st.sampled_from(
    [
        Play(),
        Play(EVENTS),
        Play(()),
        Play((EVENTS[0], UpstreamMalformed("cut"))),
        Play((HANG,)),
        Play(head=HANG),
        *(Play(head=fault("no")) for fault in [*FAULTS, UpstreamRejected]),
        *(Play((fault("no"),)) for fault in [*FAULTS, UpstreamRejected]),
        Play(head=ZeroDivisionError("bug")),
    ]
)
HASTY = Timeouts(0.001, 0.001, 0.001, 0.002, 0.001)


async def to_the_end(rig: Rig, caller: dict[str, Any], fields: dict[str, Any]) -> None:
    """Ask and read everything, as the HTTP room would."""
    try:
        delivery = await ask(rig, caller, **fields)
        if not fields.get("stream"):
            delivery.whole()
            return delivery.close()
        try:
            while await delivery.read() is not None:
                pass
        except GatewayError as error:
            return delivery.close(error)
        delivery.close()
    except (GatewayError, ZeroDivisionError):
        pass


def a_rig(plays: Iterable[Play], score: float | None) -> Rig:
    zones: list[tuple[str, str, Any]] = [
        ("slm", "a", "local"),
        ("slm", "b", "remote"),
        ("llm", "c", "remote"),
        ("llm", "d", "local"),
    ]
    backends = [
        (tier, FakeBackend(name, play, zone=zone, timeouts=HASTY))
        for (tier, name, zone), play in zip(zones, plays, strict=True)
    ]
    return Rig(backends, router=FakeRouter(score), embeddings=FakeBackend("e", zone="remote"))


CALLS = st.fixed_dictionaries(
    {"api": st.sampled_from(["chat", "completion", "embedding"]), "stream": st.booleans()},
    optional={"model": st.sampled_from(["auto", "slm", "llm", "a-model", "b-model", "c-model", "d-model", "gpt-4o"])},
)


@settings(max_examples=60)
@given(
    plays=st.lists(PLAYS, min_size=4, max_size=4),
    score=st.sampled_from([0.1, 0.9, None]),
    tier=st.sampled_from([None, "slm", "llm"]),
    call=CALLS,
)
async def test_local_only_never_leaves(
    plays: list[Play], score: float | None, tier: str | None, call: dict[str, Any]
) -> None:
    """Whatever fails and whatever is wished, a local-only request reaches local backends only."""
    rig = a_rig(plays, score)
    await asyncio.wait_for(to_the_end(rig, {"local_only": True, "tier": tier}, call), PATIENCE)
    seen = [*rig.backends, rig.gateway.embeddings.backend]  # type: ignore[union-attr]
    assert [backend.spec.name for backend in seen if backend.spec.zone == "remote" and backend.sent] == []  # type: ignore[union-attr]
    assert rig.inflight() == 0
    assert len(rig.records) == 1


@settings(max_examples=60)
@given(
    plays=st.lists(PLAYS, min_size=4, max_size=4),
    score=st.sampled_from([0.1, 0.9, None]),
    call=CALLS,
    leaves=st.sampled_from([None, 0, 1, 2, 5, 20]),
)
async def test_one_record_and_no_slot(
    plays: list[Play], score: float | None, call: dict[str, Any], leaves: int | None
) -> None:
    """However a request ends, a client that leaves after some turns of the loop included: one record, no slot held."""
    rig = a_rig(plays, score)
    task = asyncio.create_task(to_the_end(rig, {}, call))
    if leaves is not None:
        for _ in range(leaves):
            await asyncio.sleep(0)
        task.cancel()
    await asyncio.wait({task}, timeout=PATIENCE)
    assert task.done()
    assert rig.inflight() == 0
    assert sum(backend.running for backend in rig.backends) == 0
    assert len(rig.records) == (0 if task.cancelled() and leaves == 0 else 1)
