"""An answer on its way to the client: read, closed, settled once, its slot free in every ending."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from app.core.types import Timeouts
from app.errors import DeadlineExceeded, OurFault, UpstreamMalformed, UpstreamTimeout
from app.gateway import Delivery
from tests.fakes import ANSWER, EVENTS, HANG, FakeBackend, Play, Rig, Taker, a_caller, a_request
from tests.serving import PATIENCE


def a_rig(*pieces: object, timeouts: Timeouts | None = None) -> Rig:
    return Rig([("slm", FakeBackend("small", Play(pieces), timeouts=timeouts))])  # type: ignore[arg-type]


async def opened(rig: Rig, stream: bool = True, **caller: object) -> Delivery:
    return await rig.gateway.open(rig.gateway.begin(a_request(stream=stream), a_caller(**caller)))


def ended(rig: Rig) -> tuple[str, str]:
    """How the attempt and how the request ended, once its slot is free and the backend left."""
    assert rig.inflight() == 0
    assert rig.backends[0].running == 0
    return rig.record.receipts[0].outcome, rig.record.outcome


async def patiently(delivery: Delivery) -> bool:
    """In this very task: it is the one that limits cancel."""
    async with asyncio.timeout(PATIENCE):
        return await delivery.relay(Taker().give)


async def test_whole_answer() -> None:
    """An answer that is no stream is there at once, and its slot is free before the client has read it."""
    rig = a_rig(ANSWER)
    delivery = await opened(rig, stream=False)
    assert delivery.whole() == ANSWER
    assert rig.inflight() == 0
    assert rig.records == []
    delivery.close()
    assert ended(rig) == ("ok", "ok")


async def test_stream_to_its_end() -> None:
    """All pieces in order; the slot is free at the end, not before."""
    rig = a_rig(*EVENTS)
    delivery = await opened(rig)
    taker = Taker(at_once=1)
    for count in (1, 2, 3):
        assert not await delivery.relay(taker.give)
        assert taker.pieces == list(EVENTS[:count])
        assert rig.inflight() == 1
    assert await delivery.relay(taker.give)
    assert rig.inflight() == 0
    delivery.close()
    assert ended(rig) == ("ok", "ok")
    assert rig.record.inter_token is not None


async def test_broken_stream() -> None:
    """A fault after the first byte is the client's to hear; nothing is retried."""
    rig = a_rig(EVENTS[0], UpstreamMalformed("cut"))
    delivery = await opened(rig)
    taker = Taker()
    with pytest.raises(UpstreamMalformed) as fault:
        await delivery.relay(taker.give)
    assert taker.pieces == [EVENTS[0]]
    delivery.close(fault.value)
    assert ended(rig) == ("malformed", "aborted")
    assert (rig.record.error, rig.record.status) == ("malformed", 502)


async def test_silent_stream() -> None:
    """A stream that falls silent for too long is a timeout."""
    rig = a_rig(EVENTS[0], HANG, timeouts=Timeouts(inter_token=0.02))
    delivery = await opened(rig)
    with pytest.raises(UpstreamTimeout) as fault:
        await patiently(delivery)
    delivery.close(fault.value)
    assert ended(rig) == ("timeout", "aborted")


async def test_total_within_a_stream() -> None:
    """The total limit ends a stream long before its silence limit would."""
    rig = a_rig(EVENTS[0], HANG, timeouts=Timeouts(total=0.03))
    delivery = await opened(rig)
    with pytest.raises(UpstreamTimeout) as fault:
        await patiently(delivery)
    delivery.close(fault.value)


async def test_deadline_within_a_stream() -> None:
    """The client's own deadline ends its stream."""
    rig = a_rig(EVENTS[0], HANG)
    delivery = await opened(rig, deadline=rig.now() + 0.03)
    with pytest.raises(DeadlineExceeded) as fault:
        await patiently(delivery)
    delivery.close(fault.value)
    assert ended(rig) == ("deadline", "aborted")


@pytest.mark.parametrize("pauses_after", [1, 2])
async def test_slow_client(pauses_after: int) -> None:
    """A client that takes longer than every limit to read on still gets its answer."""
    rig = a_rig(*EVENTS, timeouts=Timeouts(first_token=0.02, inter_token=0.02))
    delivery = await opened(rig)
    taker = Taker(pauses_after)
    while not await delivery.relay(taker.give):
        await asyncio.sleep(0.06)
    delivery.close()
    assert taker.pieces == list(EVENTS)
    assert ended(rig) == ("ok", "ok")


async def test_client_left() -> None:
    """A client that leaves in the middle closes the backend at once."""
    rig = a_rig(EVENTS[0], HANG)

    async def client() -> None:
        delivery = await opened(rig)
        try:
            await delivery.relay(Taker().give)
        except asyncio.CancelledError:
            delivery.close(cancelled=True)
            raise

    task = asyncio.create_task(client())
    await rig.backends[0].reached.wait()
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended(rig) == ("cancelled", "cancelled")
    assert rig.record.status == 499


async def test_closed_twice() -> None:
    """Only the first ending counts, for the slot as for the record."""
    rig = a_rig(*EVENTS)
    delivery = await opened(rig)
    delivery.close(OurFault("stopping"))
    delivery.close()
    assert ended(rig) == ("gateway", "aborted")


@pytest.mark.parametrize("ending", ["answered", "failed", "left"])
async def test_nothing_stays_armed(ending: str) -> None:
    """After the end no timer is left that holds on to the request, or could cancel what comes next."""
    fault = UpstreamMalformed("no")
    pieces = {"answered": EVENTS, "failed": (fault,), "left": (HANG,)}[ending]
    rig = a_rig(*pieces)

    async def client() -> None:
        (await opened(rig)).close()

    task = asyncio.create_task(client())
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait({task})
    assert len(rig.records) == 1
    fault.__traceback__ = None  # it holds the frames it passed
    held = weakref.ref(task)
    del task
    gc.collect()
    assert held() is None
