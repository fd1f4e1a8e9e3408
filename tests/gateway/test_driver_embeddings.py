"""Embeddings through the driver: one backend, no score, no fallback."""

from __future__ import annotations

import pytest

from app.errors import (
    InvalidRequest,
    UpstreamFault,
)
from tests.fakes import ANSWER, FakeBackend, FakeRouter, two_tiers
from tests.gateway.asking import FAULTS, answer, ask, failing


async def test_embeddings_have_one_backend() -> None:
    """Embeddings go to their own backend, unscored."""
    embedder = FakeBackend("embedder")
    rig = two_tiers(embeddings=embedder, router=FakeRouter(RuntimeError("never asked")))
    assert await answer(rig, api="embedding", model="text-embedding-3-small") == ANSWER
    assert len(embedder.sent) == 1
    assert (rig.record.api, rig.record.reason, rig.record.backend) == ("embedding", "explicit-model", "embedder")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.kind)
async def test_embeddings_never_fall_back(fault: type[UpstreamFault]) -> None:
    """Vectors of different models cannot be mixed, so a failure is told."""
    rig = two_tiers(embeddings=failing(fault("no"), "embedder"))
    with pytest.raises(fault):
        await ask(rig, api="embedding")
    assert [len(backend.sent) for backend in rig.backends] == [0, 0]
    assert rig.inflight() == 0


async def test_embeddings_in_batches() -> None:
    """A list of strings needs nothing special; token arrays are refused with the cure."""
    rig = two_tiers(embeddings=FakeBackend("embedder"))
    assert await answer(rig, api="embedding", input=["a", "b"]) == ANSWER
    with pytest.raises(InvalidRequest, match="check_embedding_ctx_length"):
        await ask(rig, api="embedding", input=[1, 2, 3])


async def test_local_embeddings_stay_local() -> None:
    """A local-only request is refused by a remote embedding backend."""
    embedder = FakeBackend("embedder", zone="remote")
    rig = two_tiers(embeddings=embedder)
    with pytest.raises(InvalidRequest) as told:
        await ask(rig, {"local_only": True}, api="embedding")
    assert told.value.code == "local_only_conflict"
    assert embedder.sent == []


async def test_embeddings_not_configured() -> None:
    """Without a backend for them, the error names the setting."""
    with pytest.raises(InvalidRequest, match="embeddings: "):
        await ask(two_tiers(), api="embedding")
