"""A backend at its post: what the driver knows of it beside its adapter."""

from __future__ import annotations

from dataclasses import dataclass

from app.core.ledger import Price
from app.core.types import Candidate, Step
from app.gateway.slots import SlotLane
from app.ports import Backend


@dataclass(frozen=True, slots=True)
class Post:
    """`lane` is shared by all posts on one host."""

    backend: Backend
    tier: str
    lane: SlotLane
    price: Price

    def candidate(self) -> Candidate:
        spec, facts = self.backend.spec, self.backend.facts
        return Candidate(
            step=Step(spec.name, self.tier),
            zone=spec.zone,
            model=spec.model,
            has=self.backend.capabilities,
            context_window=spec.context_window or facts.context_window,
            state=facts.state,
        )
