"""What the driver's tests share: asking a rig as the HTTP room does."""

from __future__ import annotations

from typing import Any

from app.core.types import Record
from app.errors import (
    UpstreamLoading,
    UpstreamMalformed,
    UpstreamOverflow,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from app.gateway import Delivery
from tests.fakes import FakeBackend, Play, Rig, a_caller, a_request

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
