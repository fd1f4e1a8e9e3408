"""One request from decision to delivery.

    begin: who may serve it (pure policy, the score in between)  ->  Story
    open:  the cascade yields attempts, each is admitted, sent and held until its first usable event
    close: one Record for the observers

Before the first usable event a failure goes back into the cascade; after it nothing is retried.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from app.core import policy
from app.core.cascade import cascade
from app.core.chat import ChatRequest
from app.core.types import Answered, Attempt, Caller, Facts, Failed, Outcome, Plan, Score, Served, Step, View
from app.errors import (
    GatewayError,
    InvalidRequest,
    NoBackendAvailable,
    Saturated,
    UpstreamFault,
    UpstreamLoading,
    UpstreamRateLimited,
)
from app.gateway.delivery import Delivery, Leg
from app.gateway.post import Post
from app.gateway.slots import acquire
from app.gateway.story import Story
from app.gateway.watch import Watch
from app.ports import Observer, Router

_RETRY_HELPS = (Saturated, UpstreamLoading, UpstreamRateLimited)


@dataclass(frozen=True, slots=True)
class Routing:
    """What the config says about choosing. `embeddings` is a backend name and the model it embeds with."""

    tiers: tuple[str, ...]
    threshold: float
    default_tier: str
    unknown_models: str = "route"
    embeddings: str | None = None


class Gateway:
    """Immutable after construction; a reload builds another and swaps the reference."""

    def __init__(
        self,
        posts: Sequence[Post],
        routing: Routing,
        router: Router,
        observers: Sequence[Observer],
        now: Callable[[], float],
        on_router_failure: Callable[[Exception], None],
    ) -> None:
        self.posts: Mapping[str, Post] = {post.backend.spec.name: post for post in posts}
        self.routing = routing
        self.router = router
        self._observers = tuple(observers)
        self._now = now
        self._on_router_failure = on_router_failure
        self._routed = tuple(post for post in self.posts.values() if post.tier in routing.tiers)
        self._view: tuple[list[Facts], View] | None = None

    # --- decide -----------------------------------------------------------------------------------------

    def view(self) -> View:
        """Made anew only when a probe has replaced the facts of a backend."""
        facts = [post.backend.facts for post in self._routed]
        if self._view is None or self._view[0] != facts:
            self._view = (facts, self._fresh_view())
        return self._view[1]

    def _fresh_view(self) -> View:
        routing = self.routing
        return View(
            tiers=routing.tiers,
            candidates=tuple(post.candidate() for post in self._routed),
            threshold=routing.threshold,
            default_tier=routing.default_tier,
            unknown_models="reject" if routing.unknown_models == "reject" else "route",
        )

    def begin(self, request: ChatRequest, caller: Caller) -> Story:
        """Decide. Raises a settled GatewayError when no backend may serve the request."""
        story = Story(request, caller, self._observers, self._now)
        try:
            story.plan = self._embedding_plan(request) if request.api == "embedding" else self._plan(request, story)
        except GatewayError as error:
            story.fail(error)
            raise
        return story

    def refuse(self, caller: Caller, error: GatewayError) -> None:
        """Count a request that never became one: no key, no JSON, too large."""
        Story(None, caller, self._observers, self._now).fail(error)

    def decide(self, request: ChatRequest, caller: Caller) -> Plan:
        """The plan alone, nothing counted: for `/v1/route`."""
        return self._plan(request, Story(request, caller, (), self._now))

    def _plan(self, request: ChatRequest, story: Story) -> Plan:
        view = self.view()
        wish = policy.intent(request, story.caller, view)
        score = self._score(request, story) if wish.open else None
        return policy.plan(request, story.caller, wish, score, view)

    def _score(self, request: ChatRequest, story: Story) -> Score | None:
        started = self._now()
        try:
            return self.router.score(request)
        except Exception as error:  # a router is replaceable code: whatever it does, requests are served
            self._on_router_failure(error)
            return None
        finally:
            story.classify = self._now() - started

    def _embedding_plan(self, request: ChatRequest) -> Plan:
        name = self.routing.embeddings
        if name is None:
            raise InvalidRequest(
                "Embeddings are not configured. Add 'embeddings: {backend, model}' to the config.",
                code="embeddings_not_configured",
            )
        post = self.posts[name]
        lacking = request.needs - post.backend.capabilities
        if lacking:
            raise InvalidRequest(
                "The embedding backend takes text only, not token arrays. Send strings "
                "(in LangChain: check_embedding_ctx_length=False).",
                param="input",
                code="unsupported_capability",
            )
        return Plan((Step(name, post.tier),), "explicit-model")

    # --- perform ----------------------------------------------------------------------------------------

    async def open(self, story: Story) -> Delivery:
        """Try the steps of the plan until one answers. Raises a settled GatewayError if none does."""
        assert story.plan is not None
        task = asyncio.current_task()
        assert task is not None
        watch = Watch(asyncio.get_running_loop(), task)
        faults: list[GatewayError] = []
        try:
            with contextlib.closing(cascade(story.plan)) as flow:
                attempt = next(flow)
                while True:
                    outcome, delivery = await self._attempt(attempt, story, watch, faults)
                    try:
                        attempt = flow.send(outcome)
                    except StopIteration as stop:
                        verdict = stop.value
                        break
            story.trail = verdict.trail
            if isinstance(verdict, Served) and delivery is not None:
                return delivery
            raise _telling(faults)
        except GatewayError as error:
            watch.stop()
            story.fail(error)
            raise
        except asyncio.CancelledError:
            watch.stop()
            story.settle("cancelled", 499)
            raise

    async def _attempt(
        self,
        attempt: Attempt,
        story: Story,
        watch: Watch,
        faults: list[GatewayError],
    ) -> tuple[Outcome, Delivery | None]:
        post = self.posts[attempt.step.backend]
        story.attempt = attempt
        began = self._now()
        try:
            await _admit(post, story, began)
            leg = Leg(post, story, watch, self._now() - began, self._now())
            return Answered(), await self._send(leg, story, watch)
        except (UpstreamFault, Saturated) as fault:
            faults.append(fault)
            return Failed(fault.kind, isinstance(fault, UpstreamFault) and fault.final), None
        finally:
            story.waited += self._now() - began

    async def _send(self, leg: Leg, story: Story, watch: Watch) -> Delivery:
        backend = leg.post.backend
        assert story.request is not None
        self._start_clock(leg, story, watch)
        try:
            leg.reply = reply = await backend.send(story.request, story.caller.request_id)
            first = await reply.read()
        except asyncio.CancelledError:
            error = watch.verdict()
            leg.end(error.kind if error else "cancelled", self._now())
            if error is None:
                raise
            raise error from None
        except GatewayError as error:
            leg.end(error.kind, self._now())
            raise
        if story.request.stream:
            watch.follow("the next token", backend.spec.timeouts.inter_token)
        now = self._now()
        leg.first_token = now - leg.started
        story.first_token = now - story.started
        story.pieces = 1
        story.model = reply.model or backend.spec.model
        return Delivery(leg, first or b"", self._now)

    def _start_clock(self, leg: Leg, story: Story, watch: Watch) -> None:
        spec, facts = leg.post.backend.spec, leg.post.backend.facts
        limits = spec.timeouts
        granted = facts.state in ("loading", "asleep")
        deadline = story.caller.deadline
        client_left = float("inf") if deadline is None else deadline - leg.started

        async def ask() -> float:
            nonlocal granted
            if granted:
                return 0.0
            granted = True
            return limits.load if await leg.post.backend.warming() else 0.0

        watch.begin(
            "a first token",
            limits.first_token + (limits.load if granted else 0.0),
            min(limits.total, client_left),
            deadline=client_left < limits.total,
            ask=None if granted else ask,
        )


async def _admit(post: Post, story: Story, now: float) -> None:
    deadline = story.caller.deadline
    await acquire(post.lane, post.backend.spec.capacity, None if deadline is None else deadline - now)


def _telling(faults: Sequence[GatewayError]) -> GatewayError:
    """Of several failures the one the client can act on: retry later, if any backend will then do."""
    if not faults:
        return NoBackendAvailable("No backend could be tried.")
    last = faults[-1]
    if isinstance(last, UpstreamFault) and last.final:
        return last
    soon = [fault for fault in faults if isinstance(fault, _RETRY_HELPS)]
    return min(soon, key=lambda fault: fault.retry_after or 30.0) if soon else last
