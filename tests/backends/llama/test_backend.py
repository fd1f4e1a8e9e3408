from __future__ import annotations

import pytest

from app.backends.http_client import HttpClient
from app.backends.llama.backend import StartedBackend
from app.backends.llama.launch import Cannot
from app.backends.openai_http import Wiring
from app.backends.quirks import LLAMA_CPP
from app.backends.scripted import Model, Scripted, serve
from app.core.types import BackendSpec
from app.errors import UpstreamLoading, UpstreamUnavailable
from tests.backends.llama.test_server import FakeRunning, Rig
from tests.fakes import a_request


async def test_nothing_is_sent_unless_its_server_is_there() -> None:
    """Though somebody else may listen at its address: it is loading, then it answers, then it cannot be started."""
    fake, running = Scripted(Model(imitates="llama-cpp", name="tiny")), FakeRunning(loaded=False)
    rig = Rig(running, Cannot("no"))
    client = HttpClient(proxies=False, connect_timeout=2.0, max_connections=1)

    async def warming() -> bool:
        return False

    async with serve(fake) as url:
        wiring = Wiring(client, LLAMA_CPP, None, lambda backend, field: None, warming)
        backend = StartedBackend(BackendSpec("small", "openai", "local", url, "tiny"), wiring, rig.server)
        assert backend.facts.state == "loading"
        with pytest.raises(UpstreamLoading) as refused:
            await backend.send(a_request(), "r")
        assert refused.value.retry_after
        running.loaded = True
        await rig.until(lambda: rig.server.up)
        reply = await backend.send(a_request(), "r")
        assert await reply.first()
        reply.close()
        running.end.set_result(1)
        await rig.until(lambda: rig.server.facts().state == "down")
        with pytest.raises(UpstreamUnavailable):
            await backend.send(a_request(), "r")
        assert fake.seen.requests == 1
        await client.aclose()
    await rig.end()
