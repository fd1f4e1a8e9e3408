"""Models, the decision alone, health, readiness, metrics."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from app.api.app import SmallfirstApp
from app.api.auth import Key, digest
from app.core.types import Facts
from tests.fakes import FakeBackend, FakeRouter, Rig, two_tiers
from tests.serving import calling

APP = Key("app", digest("sk-app"))
ADMIN = {"authorization": "Bearer sk-admin"}
MESSAGES = [{"role": "user", "content": "hi"}]


async def get(rig: Rig, path: str, *keys: Key, headers: dict[str, str] | None = None, **options: Any) -> httpx.Response:
    async with calling(SmallfirstApp(rig.site(*keys, **options), rig.on_bug)) as client:
        return await client.get(path, headers=headers)


async def route(rig: Rig, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
    async with calling(SmallfirstApp(rig.site(), rig.on_bug)) as client:
        return await client.post("/v1/route", json={"messages": MESSAGES, **fields}, headers=headers)


@pytest.fixture
def rig() -> Rig:
    return two_tiers()


# --- root, health -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_root(rig: Rig, method: str) -> None:
    """Name and version, for whoever looks whether somebody is at home."""
    async with calling(SmallfirstApp(rig.site(APP), rig.on_bug)) as client:
        response = await client.request(method, "/")
    assert response.status_code == 200
    if method == "GET":
        assert response.json()["name"] == "smallfirst"


async def test_health_wants_no_key(rig: Rig) -> None:
    """The process is alive, whoever asks."""
    response = await get(rig, "/health", APP, loopback=False)
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


# --- admin rules --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080"])
async def test_this_machine_is_admin(rig: Rig, host: str) -> None:
    """Bound to loopback, who names this machine needs no key."""
    assert (await get(rig, "/metrics", headers={"host": host})).status_code == 200
    assert "backends" in (await get(rig, "/ready", headers={"host": host})).json()


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "localhost.evil.example", ""])
async def test_rebound_names_are_not_admin(rig: Rig, host: str) -> None:
    """A page that rebinds its name to this machine sees neither metrics nor details."""
    response = await get(rig, "/metrics", headers={"host": host})
    assert (response.status_code, response.json()["error"]["code"]) == (403, "forbidden")
    assert (await get(rig, "/ready", headers={"host": host})).json() == {"status": "ready"}


async def test_admin_key(rig: Rig) -> None:
    """Bound elsewhere only the admin key opens, whatever the Host says; a client's key does not."""
    options: dict[str, Any] = {"loopback": False, "admin": digest("sk-admin")}
    assert (await get(rig, "/metrics", APP, **options)).status_code == 403
    assert (await get(rig, "/metrics", APP, headers={"x-api-key": "sk-app"}, **options)).status_code == 403
    assert (await get(rig, "/metrics", APP, headers=ADMIN, **options)).status_code == 200
    assert (await get(rig, "/ready", APP, **options)).json() == {"status": "ready"}
    assert "backends" in (await get(rig, "/ready", APP, headers=ADMIN, **options)).json()


async def test_no_admin_key_configured(rig: Rig) -> None:
    """Without an admin key nobody is an admin from outside."""
    assert (await get(rig, "/metrics", headers=ADMIN, loopback=False)).status_code == 403


async def test_metrics(rig: Rig) -> None:
    """The text format of Prometheus."""
    response = await get(rig, "/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert response.text == "smallfirst_up 1\n"


# --- readiness ----------------------------------------------------------------------------------------------


async def test_ready_details() -> None:
    """Details show each backend's state, slots and what is wrong with it."""
    rig = two_tiers(FakeBackend("small", state="down"))
    rig.backends[0].facts = Facts("down", context_window=4096, problem="connection refused")
    body = (await get(rig, "/ready")).json()
    assert body["status"] == "ready"
    assert body["backends"]["small"] == {
        "tier": "slm",
        "state": "down",
        "problem": "connection refused",
        "context_window": 4096,
        "inflight": 0,
        "queued": 0,
        "slots": 2,
    }
    assert (body["router"], body["threshold"], body["config_error"]) == ("fake 1", 0.5, None)


async def test_not_ready() -> None:
    """Without a usable backend, and while draining, load balancers are sent away."""
    rig = two_tiers(FakeBackend("small", state="down"), FakeBackend("large", zone="remote", state="down"))
    response = await get(rig, "/ready")
    assert (response.status_code, response.json()["status"]) == (503, "no backend is usable")


@pytest.mark.parametrize("state", ["unknown", "ready", "loading", "asleep"])
async def test_ready_though_not_awake(state: Any) -> None:
    """A backend that sleeps or loads can serve, after a while."""
    rig = Rig([("slm", FakeBackend("small", state=state))])
    assert (await get(rig, "/ready")).status_code == 200


async def test_draining(rig: Rig) -> None:
    """A draining server still answers, but asks for no new clients; a refused config is shown."""
    site = rig.site()
    site.draining, site.reload_error = True, "gateway.yaml: unknown key"
    async with calling(SmallfirstApp(site, rig.on_bug)) as client:
        response = await client.get("/ready")
        assert (response.status_code, response.json()["status"]) == (503, "draining")
        assert response.json()["config_error"] == "gateway.yaml: unknown key"
        assert (await client.post("/v1/chat/completions", json={"messages": MESSAGES})).status_code == 200


# --- models -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/models", "/models"])
async def test_models(rig: Rig, path: str) -> None:
    """Every name that `model` may take, in OpenAI's shape."""
    body = (await get(rig, path)).json()
    assert body["object"] == "list"
    assert [card["id"] for card in body["data"]] == ["auto", "slm", "llm", "small-model", "large-model"]
    assert all(card["object"] == "model" and card["created"] and card["owned_by"] for card in body["data"])


async def test_the_model_of_embeddings() -> None:
    """It stands last, and once if it is a model of a tier as well."""
    apart, shared = FakeBackend("small", model="nomic"), FakeBackend("small")
    body = (await get(two_tiers(embeddings=apart), "/v1/models")).json()
    assert [card["id"] for card in body["data"]][-2:] == ["large-model", "nomic"]
    assert (await get(two_tiers(embeddings=apart), "/v1/models/nomic")).json()["owned_by"] == "small"
    body = (await get(two_tiers(embeddings=shared), "/v1/models")).json()
    assert [card["id"] for card in body["data"]][-2:] == ["small-model", "large-model"]


@pytest.mark.parametrize("prefix", ["/v1/models", "/models"])
@pytest.mark.parametrize("spelled", ["org/model:4b", "org%2Fmodel:4b"])
async def test_model_with_a_slash(prefix: str, spelled: str) -> None:
    """Ids of model hubs hold a slash."""
    rig = Rig([("slm", FakeBackend("small", model="org/model:4b"))])
    card = (await get(rig, f"{prefix}/{spelled}")).json()
    assert (card["id"], card["object"], card["owned_by"]) == ("org/model:4b", "model", "small")


async def test_unknown_model(rig: Rig) -> None:
    """An unknown id is a 404 that says where to look."""
    response = await get(rig, "/v1/models/org/none")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")
    assert "GET /v1/models" in response.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/slm"])
async def test_models_want_a_key(rig: Rig, path: str) -> None:
    """Where keys are required they are required here, too."""
    response = await get(rig, path, APP)
    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
    assert (await get(rig, path, APP, headers={"x-api-key": "sk-app"})).status_code == 200


# --- route --------------------------------------------------------------------------------------------------


async def test_route(rig: Rig) -> None:
    """The decision and what made it, without calling or counting anything."""
    response = await route(rig)
    assert response.status_code == 200
    assert response.json() == {
        "tier": "slm",
        "model": "small-model",
        "backend": "small",
        "score": 0.1,
        "threshold": 0.5,
        "reason": "score",
        "rule": None,
        "estimate": 7,
        "needs": [],
        "fallbacks": ["large"],
        "router": "fake 1",
        "contributions": [{"feature": "bias", "value": -1.5}, {"feature": "length", "value": 0.25}],
    }
    assert rig.records == []
    assert [backend.sent for backend in rig.backends] == [[], []]


async def test_route_shows_the_score_it_did_not_need(rig: Rig) -> None:
    """An explicit wish decides, and the score is shown all the same."""
    body = (await route(rig, model="llm")).json()
    assert (body["tier"], body["reason"], body["score"]) == ("llm", "explicit-tier", 0.1)


async def test_route_shows_what_is_asked() -> None:
    """Capabilities and size: what may move a request from one backend to another."""
    rig = two_tiers(large=FakeBackend("large", has=("tools", "tool_choice.named")))
    tool = {"type": "function", "function": {"name": "f"}}
    body = (await route(rig, tools=[tool], tool_choice="required")).json()
    assert (body["needs"], body["reason"]) == (["tool_choice.named", "tools"], "capability")
    longer = (await route(rig, messages=[{"role": "user", "content": "word " * 1000}])).json()
    assert longer["estimate"] > 1000 > body["estimate"]


@pytest.mark.parametrize("name", ["mf", "bert", "sw_ranking", "causal_llm", "random", "default", "linear", "my-own"])
async def test_route_by_routellms_names(rig: Rig, name: str) -> None:
    """A client of RouteLLM names a router of its own; the one loaded here scores at the client's threshold."""
    low, high = [(await route(rig, model=f"router-{name}-{threshold}")).json() for threshold in ("0.05", "0.11593")]
    assert (low["tier"], low["threshold"], low["reason"]) == ("llm", 0.05, "score")
    assert (high["tier"], high["threshold"], high["reason"]) == ("slm", 0.11593, "score")


async def test_route_without_a_router() -> None:
    """A router that fails costs the score, not the answer."""
    response = await route(two_tiers(router=FakeRouter(RuntimeError("broken"))))
    assert response.status_code == 200
    body = response.json()
    assert (body["reason"], body["score"], body["contributions"]) == ("router-unavailable", None, [])


async def test_route_keeps_local(rig: Rig) -> None:
    """The header counts here as it does there."""
    body = (await route(rig, {"x-smallfirst-local-only": "true"})).json()
    assert (body["backend"], body["fallbacks"], body["reason"]) == ("small", [], "local-only")


async def test_route_reads_headers_as_the_hot_path_does(rig: Rig) -> None:
    """Two wishes about local-only that differ are none: the later one must not undo the first."""
    twice = [("x-smallfirst-local-only", "true"), ("x-smallfirst-local-only", "false")]
    async with calling(SmallfirstApp(rig.site(), rig.on_bug)) as client:
        response = await client.post("/v1/route", json={"messages": MESSAGES}, headers=twice)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "x-smallfirst-local-only")


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"", {"content-type": "application/json"}, 400),
        (b"[]", {"content-type": "application/json"}, 400),
        (b"{}", {"content-type": "application/json"}, 400),
        (b"{}", {"content-type": "text/plain"}, 415),
        (b" " * 200_000, {"content-type": "application/json"}, 413),
        (b"{}", {"content-type": "application/json", "x-smallfirst-local-only": "maybe"}, 400),
    ],
)
async def test_route_refusals(rig: Rig, content: bytes, headers: dict[str, str], status: int) -> None:
    """Bad requests are refused as on the hot path."""
    async with calling(SmallfirstApp(rig.site(), rig.on_bug)) as client:
        response = await client.post("/v1/route", content=content, headers=headers)
    assert response.status_code == status
    assert response.json()["error"].keys() == {"message", "type", "param", "code"}


async def test_route_wants_a_key(rig: Rig) -> None:
    """Deciding is for clients only."""
    async with calling(SmallfirstApp(rig.site(APP), rig.on_bug)) as client:
        assert (await client.post("/v1/route", json={"messages": MESSAGES})).status_code == 401
