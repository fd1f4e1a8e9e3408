"""What happens to one request while it happens; it ends as one frozen Record, exactly once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from app.core.chat import ChatRequest
from app.core.tokens import TokenRate, is_truncated
from app.core.types import Api, Attempt, Caller, Capability, Plan, Receipt, Record, Usage, Why, unexplained
from app.errors import ClientFault, GatewayError, OurFault, UpstreamFault, UpstreamRejected
from app.gateway.books import Books
from app.ports import Observer

UNREAD: frozenset[Capability] = frozenset({"vision", "vision_url", "audio", "token_prompt"})  # not in our estimate


class Story:
    """`plan` is the decision; `trail` and `receipts` grow with the attempts. Times are the driver's clock."""

    __slots__ = (
        "_api",
        "_books",
        "_now",
        "_observers",
        "_settled",
        "at",
        "attempt",
        "caller",
        "classify",
        "estimate",
        "first_token",
        "model",
        "pieces",
        "plan",
        "receipts",
        "request",
        "router",
        "started",
        "trail",
        "truncated",
        "utc",
        "waited",
        "why",
    )

    def __init__(
        self,
        request: ChatRequest | None,
        caller: Caller,
        observers: Iterable[Observer],
        now: Callable[[], float],
        books: Books,
        api: Api = "chat",
    ) -> None:
        self.request = request
        self._api = api  # of the endpoint, if there never was a request
        self.started = now()
        self.utc = books.utc
        self.at = books.utc()
        self._books = books
        self.caller = caller
        self.plan: Plan | None = None
        self.attempt: Attempt | None = None
        self.model: str | None = None
        self.trail: tuple[tuple[str, str], ...] = ()
        self.receipts: list[Receipt] = []
        self.classify: float | None = None
        self.why: Callable[[], Why] = unexplained
        self.router = ""
        self.estimate: int | None = None
        self.truncated = False
        self.first_token: float | None = None
        self.pieces = 0
        self.waited = 0.0  # seconds for slots and backends until the first token
        self._observers = observers
        self._now = now
        self._settled = False

    @property
    def final_reason(self) -> str | None:
        """Why another backend than the first answered; None if the first did."""
        if self.attempt is None or self.attempt.number == 1 or len(self.trail) < 2:
            return None
        return f"fallback:{self.trail[-2][1]}"

    @property
    def local_only(self) -> bool:
        """Whoever said it: header, key, config, session or a rule."""
        return self.caller.local_only or (self.plan is not None and self.plan.local_only)

    @property
    def baseline_nano(self) -> int | None:
        """What it would have cost without routing; None unless it was served, and priced by tokens there."""
        receipt = self.receipts[-1] if self.receipts else None
        return self._books.baseline_nano(self.request, self.plan, receipt)

    def compare(self, usage: Usage, rate: TokenRate) -> None:
        """What a backend counted against what was expected of it: a prompt that was cut shows here, and only here."""
        request = self.request
        if request is None or usage.estimated or request.needs & UNREAD:
            return
        raw = request.estimated_tokens()
        self.estimate = rate.of(raw)
        self.truncated = is_truncated(self.estimate, usage.input)
        if not self.truncated:
            rate.learn(raw, usage)

    def mended(self, usage: Usage, rate: TokenRate) -> Usage:
        """A guess of ours by what this backend has taught about how it counts; what it said itself stays."""
        if not usage.estimated or self.request is None or self.request.needs & UNREAD:
            return usage
        return replace(usage, input=rate.of(usage.input))

    def settle(self, outcome: str, status: int = 200, error: GatewayError | None = None) -> None:
        """Tell the observers how it ended; later calls change nothing."""
        if self._settled:
            return
        self._settled = True
        record = self._record(outcome, status, error)
        for observer in self._observers:
            observer.on_settled(record)

    def fail(self, error: GatewayError) -> None:
        self.settle(_outcome_of(error), error.status, error)

    def _record(self, outcome: str, status: int, error: GatewayError | None) -> Record:
        request, caller, plan = self.request, self.caller, self.plan
        step = self.attempt.step if self.attempt else None
        seconds = self._now() - self.started
        to_first = seconds if self.first_token is None else self.first_token
        gaps = self.pieces - 1
        return Record(
            request_id=caller.request_id,
            api=request.api if request else self._api,
            stream=request.stream if request else False,
            key=caller.key,
            local_only=self.local_only,
            tier=step.tier if step else None,
            backend=step.backend if step else None,
            model=self.model,
            reason=plan.reason if plan else None,
            final_reason=self.final_reason,
            score=plan.score if plan else None,
            threshold=plan.threshold if plan else None,
            outcome=outcome,
            status=status,
            error=error.kind if error else None,
            receipts=tuple(self.receipts),
            classify=self.classify,
            first_token=self.first_token,
            seconds=seconds,
            overhead=max(to_first - self.waited, 0.0),
            inter_token=(seconds - to_first) / gaps if gaps > 0 else None,
            at=self.at,
            session=caller.session,
            needs=request.needs if request else frozenset(),
            rule=plan.rule if plan else None,
            why=self.why(),
            router=self.router,
            baseline_nano=self.baseline_nano if outcome == "ok" else None,
            estimate=self.estimate,
            truncated=self.truncated,
            # Before there is a plan nobody may have asked the rules yet whether it is private.
            text=self._books.text(request, self.local_only) if request and plan else None,
            vector=self._books.vector(request, self.local_only) if request and plan else None,
        )


def _outcome_of(error: GatewayError) -> str:
    if isinstance(error, ClientFault | UpstreamRejected):
        return "client-error"
    if isinstance(error, UpstreamFault):
        return "upstream-error"
    return "shed" if isinstance(error, OurFault) else "internal-error"
