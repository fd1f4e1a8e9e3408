"""The application as a whole: fast lane, FastAPI beside it, one shape of errors, one OpenAPI document."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from app.api.app import SmallfirstApp
from tests.fakes import FakeRouter, Rig, two_tiers
from tests.serving import calling, connected, serving


@pytest.fixture
def rig() -> Rig:
    return two_tiers()


@pytest.fixture
def app(rig: Rig) -> SmallfirstApp:
    return SmallfirstApp(rig.site(), rig.on_bug)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/v1", 404, "not_found"),
        ("POST", "/v1/responses", 404, "not_found"),
        ("POST", "/v1/chat/completions/extra", 404, "not_found"),
        ("POST", "/v1/models", 405, "method_not_allowed"),
        ("POST", "/health", 405, "method_not_allowed"),
        ("GET", "/v1/route", 405, "method_not_allowed"),
        ("GET", "/v1/models/none", 404, "model_not_found"),
    ],
)
async def test_errors_have_one_shape(app: SmallfirstApp, method: str, path: str, status: int, code: str) -> None:
    """Unknown paths and methods are told in the OpenAI envelope, under the client's own id."""
    async with calling(app) as client:
        response = await client.request(method, path, headers={"x-request-id": "mine-1"})
    assert response.status_code == status
    error = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["code"] == code
    assert (response.headers["x-request-id"], response.headers["x-smallfirst-schema"]) == ("mine-1", "1")
    assert ("allow" in response.headers) == (status == 405)


@pytest.mark.parametrize("path", ["/", "/health", "/ready", "/v1/models", "/models"])
async def test_every_answer_is_named(app: SmallfirstApp, path: str) -> None:
    """Answers carry a request id and the schema, once."""
    async with calling(app) as client:
        response = await client.get(path)
    assert response.status_code == 200
    assert response.headers.get_list("x-request-id") == ["req-0"]
    assert response.headers.get_list("x-smallfirst-schema") == ["1"]


@pytest.mark.parametrize("path", ["/health/", "/ready/", "/metrics/", "/v1/models/", "/models/", "/v1/models/slm/"])
async def test_a_slash_too_many(app: SmallfirstApp, path: str) -> None:
    """A trailing slash is forgiven without a redirect, which would lose a client's key."""
    async with calling(app) as client:
        assert (await client.get(path)).status_code == 200


class BrokenRouter(FakeRouter):
    """Its name is as broken as the rest of it."""

    @property
    def version(self) -> str:  # type: ignore[override]
        raise ZeroDivisionError("secret")


async def test_bug_beside_the_fast_lane() -> None:
    """An error nobody foresaw is a 500 in the same shape, reported under the id that the client sees."""
    rig = two_tiers(router=BrokenRouter())
    async with calling(SmallfirstApp(rig.site(), rig.on_bug)) as client:
        response = await client.get("/ready", headers={"x-request-id": "mine-1"})
    assert (response.status_code, response.json()["error"]["code"]) == (500, "internal_error")
    assert "secret" not in response.text
    assert response.headers["x-request-id"] == "mine-1"
    assert [(name, type(error)) for name, error in rig.bugs] == [("mine-1", ZeroDivisionError)]


async def test_a_bug_ends_here() -> None:
    """The server would log it with its words, which may be a prompt's."""
    rig = two_tiers(router=BrokenRouter())
    transport = httpx.ASGITransport(SmallfirstApp(rig.site(), rig.on_bug), raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        assert (await client.get("/ready")).status_code == 500


@pytest.mark.parametrize("path", ["/%ff%00", "/v1/models/%0d%0aset-cookie:x", "//v1//models", "/" + "a" * 5000, "*"])
async def test_strange_paths(app: SmallfirstApp, path: str) -> None:
    """No path gets more than a 404, and none reaches a header."""
    async with serving(app) as port, connected(port) as client:
        await client.send(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        head = await client.head()
        body = await client.rest()
    assert head.startswith(b"HTTP/1.1 404")
    assert b"\r\nset-cookie" not in head
    assert json.loads(body)["error"].keys() == {"message", "type", "param", "code"}
    assert len(body) < 500


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    items = document["paths"].items()
    return {(method, path): one for path, item in items for method, one in item.items() if method != "parameters"}


async def test_openapi(app: SmallfirstApp) -> None:
    """The document is complete in itself and lists what is hot and what is not, under one path each."""
    async with calling(app) as client:
        document = (await client.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert document["info"]["title"] == "Smallfirst"
    listed = operations(document)
    for path in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/route"):
        assert ("post", path) in listed
    for path in ("/v1/models", "/v1/models/{model_id}", "/health", "/ready", "/metrics", "/"):
        assert ("get", path) in listed
    assert ("get", "/models") not in listed
    for (_, path), operation in listed.items():
        assert operation["summary"]
        assert all(answer["description"] for answer in operation["responses"].values())
        parameters = [*operation.get("parameters", ()), *document["paths"][path].get("parameters", ())]
        named = {parameter["name"] for parameter in parameters if parameter["in"] == "path"}
        assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}
    ids = [operation["operationId"] for operation in listed.values() if "operationId" in operation]
    assert len(ids) == len(set(ids))


def test_openapi_references(app: SmallfirstApp) -> None:
    """Every reference in the document leads somewhere."""
    document = app.openapi()
    assert app.openapi() == document
    text = json.dumps(document)
    for reference in {part.split('"')[0] for part in text.split('"$ref": "#/')[1:]}:
        place: Any = document
        for step in reference.split("/"):
            place = place[step]
