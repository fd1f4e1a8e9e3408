"""A backend at its post: what the driver knows of it beside its adapter."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.core.meter import Meter
from app.core.prices import Price
from app.core.tokens import TokenRate
from app.core.types import Candidate, Step
from app.gateway.slots import SlotLane
from app.ports import Backend


@dataclass(frozen=True, slots=True)
class Post:
    """`lane` and `meter` are shared by all posts on one host; without a price by time there is no meter. `rate` learns
    how the backend counts tokens."""

    backend: Backend
    tier: str
    lane: SlotLane
    price: Price
    meter: Meter | None = None
    rate: TokenRate = field(default_factory=TokenRate)

    def candidate(self) -> Candidate:
        spec, facts = self.backend.spec, self.backend.facts
        return Candidate(
            step=Step(spec.name, self.tier),
            zone=spec.zone,
            model=spec.model,
            has=self.backend.capabilities,
            context_window=spec.context_window or facts.context_window,
            state=facts.state,
            token_rate=self.rate.value,
        )
