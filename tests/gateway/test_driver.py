"""The driver over fakes: what is decided, what is tried, and what is told."""

from __future__ import annotations

import asyncio

import pytest

from app.core.prices import HourPrice, Unpriced
from app.core.types import Capacity, Facts, Plan, Step, Usage, Why
from app.errors import (
    InvalidRequest,
    Saturated,
    UnknownModel,
    UpstreamFault,
    UpstreamLoading,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from tests.fakes import ANSWER, HANG, FakeBackend, FakeRouter, Play, Rig, a_caller, a_request, two_tiers
from tests.gateway.asking import FAULTS, answer, ask, failing, outcomes
from tests.serving import PATIENCE

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


async def test_no_number_is_no_score() -> None:
    """It would be below every threshold, and poison every sum it goes into."""
    rig = two_tiers(router=FakeRouter(float("nan")))
    assert await answer(rig) == ANSWER
    assert (rig.record.reason, rig.record.score, len(rig.router_failures)) == ("router-unavailable", None, 1)


@pytest.mark.parametrize("value", [RuntimeError("broken"), None], ids=["raises", "no opinion"])
async def test_router_unavailable(value: Exception | None) -> None:
    """Without a score the default tier serves; a failure is reported, never shown."""
    rig = two_tiers(router=FakeRouter(value))
    assert await answer(rig) == ANSWER
    record = rig.record
    assert (record.reason, record.tier, record.score) == ("router-unavailable", "slm", None)
    assert rig.router_failures == ([value] if value else [])
    assert record.classify is not None


@pytest.mark.parametrize("why", [(("length", 1.5),), RuntimeError("broken")], ids=["told", "raises"])
async def test_the_record_says_what_moved_the_score(why: Why | Exception) -> None:
    """A router that cannot say it loses neither the score nor the record."""
    rig = two_tiers(router=FakeRouter(0.1, why))
    assert await answer(rig) == ANSWER
    failed = isinstance(why, Exception)
    assert (rig.record.score, rig.record.why) == (0.1, () if failed else why)
    assert rig.router_failures == ([why] if failed else [])


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
    rig.gateway.refuse("embedding", a_caller(), InvalidRequest("no JSON"))
    assert (rig.record.api, rig.record.outcome) == ("embedding", "client-error")


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


# --- receipts -----------------------------------------------------------------------------------------------


async def test_receipts() -> None:
    """Each attempt that reached a backend has a receipt with its usage and price."""
    rig = two_tiers(failing(UpstreamUnavailable("no")))
    await answer(rig)
    failed, served = rig.record.receipts
    assert (failed.tier, failed.usage, failed.first_token) == ("slm", None, None)
    assert (failed.nano_usd, failed.kind) == (0, None)  # by its price no tokens cost nothing
    assert (served.tier, served.usage) == ("llm", Play().usage)
    assert served.nano_usd == 10 * 1000 + 5 * 2000
    assert served.first_token is not None
    assert served.seconds >= served.first_token


async def test_what_is_not_known_costs_nothing_known() -> None:
    """Without a price by tokens a refused attempt has no cost of its own; nor has an answer that nobody counted."""
    by_time = two_tiers(failing(UpstreamUnavailable("no")), price=HourPrice(1.0))
    await answer(by_time)
    unpriced = two_tiers(failing(UpstreamUnavailable("no")), price=Unpriced())
    await answer(unpriced)
    uncounted = two_tiers(FakeBackend("small", Play(usage=None)))
    await answer(uncounted)
    receipts = [receipt for rig in (by_time, unpriced, uncounted) for receipt in rig.record.receipts]
    assert [receipt.nano_usd for receipt in receipts] == [None] * 5


async def test_guessed_tokens_follow_what_the_backend_has_taught() -> None:
    """A backend that counts half as many again has most likely done so where it did not say."""
    rig = Rig([("slm", FakeBackend("small", Play(usage=Usage(100, 5, estimated=True)), Play(head=HANG)))])
    rig.gateway.posts["small"].rate.value = 1.5
    await answer(rig)
    task = asyncio.create_task(answer(rig))
    await rig.backends[0].reached.wait()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    guess = a_request().estimated_tokens()
    answered, left = (record.receipts[0].usage for record in rig.records)
    assert answered == Usage(150, 5, estimated=True)
    assert left == Usage(round(1.5 * guess), 0, estimated=True)


async def test_model_that_answered() -> None:
    """The backend's word on the model counts more than the configured name."""
    rig = Rig([("slm", FakeBackend("small", Play(model="qwen3:4b-q4")))])
    await answer(rig)
    assert rig.record.model == "qwen3:4b-q4"
