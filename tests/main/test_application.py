"""The whole gateway as an ASGI app: what it is right after its start, and how it ends."""

from __future__ import annotations

import io

import httpx
import pytest

from app.errors import ConfigError
from app.main import application
from app.settings import Source
from tests.main.parts import ENVIRON, TWO_TIERS

SCRIPTED = """
backends: {fake: {kind: scripted, zone: local, model: tiny, imitates: ollama, price: {kind: unpriced}}}
"""


async def test_it_is_ready_or_says_why() -> None:
    """Both backends of this config are away: 503 with their problems for the operator, and draining says so."""
    async with application(Source(None, ENVIRON, TWO_TIERS), log=io.BytesIO()) as one:
        transport = httpx.ASGITransport(one.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            answer = await client.get("/ready")
            assert answer.status_code == 503
            assert "cannot be reached" in answer.json()["backends"]["small"]["problem"]
            one.drain()
            assert (await client.get("/ready")).json()["status"] == "draining"
            assert (await client.get("/health")).status_code == 200


async def test_a_scripted_backend_needs_nothing_else() -> None:
    """`kind: scripted` is served inside the process: a request gets an answer."""
    async with application(Source(None, {}, SCRIPTED), log=io.BytesIO()) as one:
        transport = httpx.ASGITransport(one.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            body = {"messages": [{"role": "user", "content": "hello"}]}
            answer = await client.post("/v1/chat/completions", json=body)
            assert answer.status_code == 200
            assert answer.headers["x-smallfirst-tier"] == "slm"
            metrics = (await client.get("/metrics")).text
    assert 'smallfirst_upstream_attempts_total{backend="fake",outcome="ok"} 1.0' in metrics


async def test_a_bad_config_starts_nothing() -> None:
    """It is a ConfigError before any task or socket is made."""
    with pytest.raises(ConfigError):
        async with application(Source(None, {}, "backends: {}"), log=io.BytesIO()):
            raise AssertionError("it started")


async def test_its_log_tells_of_warnings_and_states() -> None:
    """A missing secret is a warning, and the backend's state is logged when it changes."""
    log = io.BytesIO()
    async with application(Source(None, {}, TWO_TIERS), log=log):
        pass
    assert b'"event":"config-warning"' in log.getvalue()
    assert b'"event":"backend-state"' in log.getvalue()
