"""What holds for any plan, any faults and any moment to leave."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.types import Timeouts
from app.errors import (
    GatewayError,
    UpstreamMalformed,
    UpstreamRejected,
)
from tests.fakes import EVENTS, HANG, FakeBackend, FakeRouter, Play, Rig
from tests.gateway.asking import FAULTS, ask
from tests.serving import PATIENCE

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
            assert await delivery.relay(lambda piece: True)
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
