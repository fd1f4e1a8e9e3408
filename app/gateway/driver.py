"""One request from decision to delivery.

    begin: who may serve it (pure policy, the score in between)  ->  Story
    open:  the cascade yields attempts, each is admitted, sent and held until its first usable event
    close: one Record for the observers

Before the first usable event a failure goes back into the cascade; after it nothing is retried.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from app.core import policy
from app.core.cascade import cascade
from app.core.chat import ChatRequest
from app.core.rules import Rule, judge
from app.core.sessions import LocalSessions
from app.core.types import Answered, Api, Attempt, Caller, Facts, Failed, Outcome, Plan, Score, Served, Step, View, Why
from app.errors import (
    GatewayError,
    InvalidRequest,
    Saturated,
    UnknownModel,
    UpstreamFault,
    UpstreamLoading,
    UpstreamMalformed,
    UpstreamRateLimited,
)
from app.gateway.books import Books
from app.gateway.delivery import Delivery, Leg
from app.gateway.patience import Patience
from app.gateway.post import Post
from app.gateway.slots import acquire
from app.gateway.story import Story
from app.gateway.watch import LOOK, Watch
from app.ports import Observer, Router

RATE_STEPS = 20  # a learned token rate is used in steps of a twentieth: each step makes a new view
_RETRY_HELPS = (Saturated, UpstreamLoading, UpstreamRateLimited)


@dataclass(frozen=True, slots=True)
class Routing:
    """What the config says about choosing. `tiers` cheapest first."""

    tiers: tuple[str, ...]
    threshold: float
    default_tier: str
    unknown_models: Literal["route", "reject"] = "route"
    rules: tuple[Rule, ...] = ()


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
        embeddings: Post | None = None,
        books: Books | None = None,
        sessions: LocalSessions | None = None,
    ) -> None:
        self.posts: Mapping[str, Post] = {post.backend.spec.name: post for post in posts}
        self.embeddings = embeddings
        self.routing = routing
        self.router = router
        self._observers = tuple(observers)
        self._now = now
        self._on_router_failure = on_router_failure
        self._books = books or Books()
        self._sessions = LocalSessions() if sessions is None else sessions
        self._routed = tuple(post for post in self.posts.values() if post.tier in routing.tiers)
        self._patience = Patience(LOOK)
        self._view: tuple[list[Facts], list[int], View] | None = None

    def all_posts(self) -> list[Post]:
        """The routed ones, cheapest tier first, and the embedding backend."""
        return [*self.posts.values(), *([self.embeddings] if self.embeddings else [])]

    # --- decide -----------------------------------------------------------------------------------------

    def view(self) -> View:
        """Made anew only when a probe has replaced the facts of a backend, or a learned rate has moved by a step."""
        facts = [post.backend.facts for post in self._routed]
        rates = [int(post.rate.value * RATE_STEPS) for post in self._routed]
        if self._view is None or self._view[0] != facts or self._view[1] != rates:
            self._view = (facts, rates, self._fresh_view())
        return self._view[2]

    def _fresh_view(self) -> View:
        routing = self.routing
        return View(
            tiers=routing.tiers,
            candidates=tuple(post.candidate() for post in self._routed),
            threshold=routing.threshold,
            default_tier=routing.default_tier,
            unknown_models=routing.unknown_models,
            rules=routing.rules,
        )

    def begin(self, request: ChatRequest, caller: Caller) -> Story:
        """Decide. Raises a settled GatewayError when no backend may serve the request."""
        story = Story(request, caller, self._observers, self._now, self._books)
        if self._sessions.is_local(caller.key, caller.session):
            _keep_local(story)
        try:
            story.plan = (self._embedding_plan if request.api == "embedding" else self._plan)(request, story)
        except Exception as error:
            story.fail(_known(error))
            raise
        finally:  # what was refused was said as well
            if story.caller.local_only:
                self._sessions.mark(caller.key, caller.session)
        return story

    def refuse(self, api: Api, caller: Caller, error: GatewayError) -> None:
        """Count a request that never became one: no key, no JSON, too large."""
        Story(None, caller, self._observers, self._now, self._books, api).fail(error)

    def decide(self, request: ChatRequest, caller: Caller) -> Plan:
        """The plan alone, nothing counted or remembered: for `/v1/route`."""
        story = Story(request, caller, (), self._now, self._books)
        if self._sessions.is_local(caller.key, caller.session):
            _keep_local(story)
        return self._plan(request, story)

    def explain(self, request: ChatRequest) -> tuple[float | None, list[tuple[str, float]]]:
        """The score and what made it; None and nothing if the router has no opinion or fails."""
        try:
            score = self.router.score(request)
            return (score.value, self.router.explain(request)) if score else (None, [])
        except Exception as error:
            self._on_router_failure(error)
            return None, []

    def _plan(self, request: ChatRequest, story: Story) -> Plan:
        view = self.view()
        wish = policy.intent(request, story.caller, view)
        if wish.local_only:
            _keep_local(story)
        score = self._score(request, story) if wish.open else None
        return policy.plan(request, story.caller, wish, score, view)

    def _score(self, request: ChatRequest, story: Story) -> Score | None:
        started = self._now()
        try:
            score = self.router.score(request)
            if score is not None:
                if not 0.0 <= score.value <= 1.0:  # not a number, for instance, would be below every threshold
                    raise ValueError("a score is a probability")
                story.why = partial(self._why, score)
                story.router = f"{self.router.name} {self.router.version}"
            return score
        except Exception as error:  # a router is replaceable code: whatever it does, requests are served
            self._on_router_failure(error)
            return None
        finally:
            story.classify = self._now() - started

    def _why(self, score: Score) -> Why:
        """Asked when the request has ended."""
        try:
            return score.why()
        except Exception as error:
            self._on_router_failure(error)
            return ()

    def _embedding_plan(self, request: ChatRequest, story: Story) -> Plan:
        """Vectors of different models cannot be mixed: one step, no score, no fallback."""
        post = self.embeddings
        if post is None:
            raise InvalidRequest(
                "Embeddings are not configured. Add 'embeddings: {backend, model}' to the config.",
                code="embeddings_not_configured",
            )
        spec = post.backend.spec
        ruling = judge(self.routing.rules, request, story.caller)
        if ruling.keeps_local is not None:
            _keep_local(story)
        local_only = story.caller.local_only
        if local_only and spec.zone != "local":
            raise InvalidRequest(
                "This request is local-only, but the embedding backend is remote. Configure a local one.",
                code="local_only_conflict",
            )
        if self.routing.unknown_models == "reject" and request.model not in (spec.model, policy.AUTO):
            raise UnknownModel(f"Embeddings are made by '{spec.model}' here. Ask for that model.", param="model")
        if "token_prompt" in request.needs - post.backend.capabilities:
            raise InvalidRequest(
                "The embedding backend takes text only, not token arrays. Send strings "
                "(in LangChain: check_embedding_ctx_length=False).",
                param="input",
                code="unsupported_capability",
            )
        return Plan((Step(spec.name, post.tier),), "explicit-model", rule=ruling.keeps_local, local_only=local_only)

    # --- perform ----------------------------------------------------------------------------------------

    async def open(self, story: Story) -> Delivery:
        """Try the steps of the plan until one answers. Raises a settled GatewayError if none does."""
        assert story.plan is not None
        task = asyncio.current_task(self._patience.loop)
        assert task is not None
        watch = Watch(self._patience, task)
        faults: list[GatewayError] = []
        try:
            flow = cascade(story.plan)
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
        except asyncio.CancelledError:
            watch.stop()
            story.settle("cancelled", 499)
            raise
        except Exception as error:
            watch.stop()
            story.fail(_known(error))
            raise

    async def _attempt(
        self,
        attempt: Attempt,
        story: Story,
        watch: Watch,
        faults: list[GatewayError],
    ) -> tuple[Outcome, Delivery | None]:
        assert story.request is not None
        post = self._post(attempt, story.request)
        story.attempt = attempt
        began = self._now()
        deadline = story.caller.deadline
        try:
            await acquire(post.lane, post.backend.spec.capacity, None if deadline is None else deadline - began)
            started = self._now()
            leg = Leg(post, story, watch, started - began, started)
            return Answered(), await self._send(leg, story, watch)
        except (UpstreamFault, Saturated) as fault:
            faults.append(fault)
            return Failed(fault.kind, isinstance(fault, UpstreamFault) and fault.final), None
        finally:
            story.waited += self._now() - began

    def _post(self, attempt: Attempt, request: ChatRequest) -> Post:
        if request.api == "embedding" and self.embeddings is not None:
            return self.embeddings
        return self.posts[attempt.step.backend]

    async def _send(self, leg: Leg, story: Story, watch: Watch) -> Delivery:
        backend = leg.post.backend
        assert story.request is not None
        _start_clock(leg, story, watch)
        try:
            leg.reply = reply = await backend.send(story.request, story.caller.request_id)
            first = await reply.first()
            if not first:  # a 200 and then nothing is not an answer
                raise UpstreamMalformed("The backend ended its answer before it began.")
        except asyncio.CancelledError:
            error = watch.verdict()
            leg.end(error.kind if error else "cancelled", self._now(), left=True)
            if error is None:
                raise
            raise error from None
        except Exception as error:
            leg.end(_known(error).kind, self._now())
            raise
        if story.request.stream:
            watch.follow("the next token", backend.spec.timeouts.inter_token, reply)
        now = self._now()
        leg.first_token = now - leg.started
        story.first_token = now - story.started
        story.pieces = 1
        story.model = reply.model or backend.spec.model
        return Delivery(leg, first, self._now)


def _start_clock(leg: Leg, story: Story, watch: Watch) -> None:
    backend = leg.post.backend
    limits = backend.spec.timeouts
    warm = backend.facts.state not in ("loading", "asleep")
    deadline = story.caller.deadline
    client_left = math.inf if deadline is None else deadline - leg.started
    watch.begin(
        "a first token",
        limits.first_token + (0.0 if warm else limits.load),
        min(limits.total, client_left),
        deadline=client_left < limits.total,
        ask=leg.more_time if warm else None,
    )


def _keep_local(story: Story) -> None:
    """From here on, whatever becomes of it: a request that is refused next must not be taken for a free one."""
    if not story.caller.local_only:
        story.caller = replace(story.caller, local_only=True)


def _known(error: Exception) -> GatewayError:
    """The error itself; of one that nobody foresaw only that there was one."""
    return error if isinstance(error, GatewayError) else GatewayError("The gateway failed on this request.")


def _telling(faults: Sequence[GatewayError]) -> GatewayError:
    """Of several failures the one the client can act on: retry later, if any backend will then do."""
    last = faults[-1]
    if isinstance(last, UpstreamFault) and last.final:
        return last
    soon = [fault for fault in faults if isinstance(fault, _RETRY_HELPS)]
    return min(soon, key=lambda fault: fault.retry_after or 30.0) if soon else last
