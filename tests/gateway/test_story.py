"""One request's story and the record it ends in."""

from __future__ import annotations

import pytest

from app.core.types import Attempt, Plan, Step
from app.errors import (
    ContextTooLong,
    DeadlineExceeded,
    GatewayError,
    Saturated,
    Unauthenticated,
    UpstreamRejected,
    UpstreamTimeout,
)
from app.gateway import Story
from app.gateway.books import Books
from tests.fakes import RecordingObserver, a_caller, a_request


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def observer() -> RecordingObserver:
    return RecordingObserver()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def story(observer: RecordingObserver, clock: Clock) -> Story:
    return Story(a_request(stream=True), a_caller(key="app", local_only=True), [observer], clock, Books(lambda: 5.0))


def test_settles_once(story: Story, observer: RecordingObserver) -> None:
    """However often it is ended, observers hear of the first ending only."""
    story.settle("ok")
    story.fail(Saturated("full"))
    story.settle("cancelled", 499)
    assert [record.outcome for record in observer.records] == ["ok"]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Unauthenticated("no"), "client-error"),
        (ContextTooLong("no"), "client-error"),
        (UpstreamRejected("no"), "client-error"),
        (UpstreamTimeout("no"), "upstream-error"),
        (Saturated("no"), "shed"),
        (DeadlineExceeded("no"), "shed"),
        (GatewayError("no"), "internal-error"),
    ],
    ids=lambda value: getattr(value, "kind", value),
)
def test_whose_fault(story: Story, observer: RecordingObserver, error: GatewayError, outcome: str) -> None:
    """The outcome says who has to do something: the client, the backend, the operator, or we."""
    story.fail(error)
    record = observer.records[0]
    assert (record.outcome, record.status, record.error) == (outcome, error.status, error.kind)


def test_record_times(story: Story, observer: RecordingObserver, clock: Clock) -> None:
    """Overhead is the time to the first token less the waiting; gaps are counted between pieces."""
    story.first_token, story.waited, story.pieces = 2.0, 1.5, 5
    clock.now = 10.0
    story.settle("ok")
    record = observer.records[0]
    assert (record.seconds, record.first_token, record.overhead, record.inter_token) == (10.0, 2.0, 0.5, 2.0)


def test_record_of_a_refused_request(observer: RecordingObserver, clock: Clock) -> None:
    """A request that was never read leaves a record without decision, words or key material."""
    Story(None, a_caller(), [observer], clock, Books(lambda: 5.0)).fail(Unauthenticated("no"))
    record = observer.records[0]
    assert (record.tier, record.backend, record.model, record.reason, record.receipts) == (None, None, None, None, ())
    assert (record.stream, record.inter_token, record.status) == (False, None, 401)


def test_record_of_caller_and_plan(story: Story, observer: RecordingObserver) -> None:
    """Who asked, on which terms, and what was decided stand in the record."""
    step = Step("small", "slm")
    story.plan = Plan((step,), "score", 0.25, 0.5)
    story.attempt = Attempt(step, 1)
    story.model = "m"
    story.settle("ok")
    record = observer.records[0]
    assert (record.request_id, record.key, record.local_only, record.stream) == ("req-1", "app", True, True)
    assert (record.tier, record.backend, record.model, record.reason) == ("slm", "small", "m", "score")
    assert (record.score, record.threshold, record.final_reason) == (0.25, 0.5, None)


def test_final_reason(story: Story) -> None:
    """Only an answer of another backend than the first has one: why the one before it failed."""
    story.attempt = Attempt(Step("small", "slm"), 1)
    story.trail = (("small", "served"),)
    assert story.final_reason is None
    story.attempt = Attempt(Step("large", "llm"), 2)
    story.trail = (("small", "timeout"), ("large", "served"))
    assert story.final_reason == "fallback:timeout"
