"""The OpenAPI document, which is written by hand: it says what is served and what is checked, no less and no more."""

from __future__ import annotations

import pytest

from app.api.app import HOT, SmallfirstApp
from app.api.openapi import components, paths
from app.api.ops import routes
from app.core import chat
from tests.fakes import two_tiers

JSON_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", dict: "object", list: "array"}
GENERATING = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings")


def test_it_has_every_route() -> None:
    """Those of the fast lane and those that FastAPI would list."""
    rig = two_tiers()
    shown = {(one.path, *one.methods) for one in routes(rig.site()).routes if one.include_in_schema}  # type: ignore[attr-defined]
    served = {(path.replace(":path", ""), method) for path, method in shown} | {(f"/v1{path}", "POST") for path in HOT}
    told = {(path, method.upper()) for path, item in paths().items() for method in item if method != "parameters"}
    assert told == served
    assert SmallfirstApp(rig.site(), rig.on_bug).openapi()["paths"] == paths()


def test_it_tells_the_types_that_are_checked() -> None:
    """Of each well-known field; null is always allowed."""
    told = components()["schemas"]["Chat"]["properties"]
    assert set(told) == {*chat._TYPES, "messages"}
    for name, kinds in chat._TYPES.items():
        if name != "tool_choice":  # an enumeration or an object
            wanted = {"number"} if kinds == chat._NUMBER else {JSON_TYPES[kind] for kind in kinds}
            assert set(told[name]["type"]) == wanted | {"null"}, name


@pytest.mark.parametrize("path", GENERATING)
def test_generating_paths(path: str) -> None:
    """Each has a body, an answer and the envelope of errors, and may be refused in every way there is."""
    operation = paths()[path]["post"]
    schemas = components()["schemas"]
    body = schemas[operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]]
    assert set(body["required"]) <= set(body["properties"])
    assert {"400", "401", "403", "404", "413", "415", "429", "431", "500", "502", "503", "504"} < set(
        operation["responses"]
    )
    assert schemas["Error"]["properties"]["error"]["required"] == ["message", "type", "param", "code"]


def test_streams() -> None:
    """Chats and completions may answer as events, embeddings not."""
    kinds = {path: set(paths()[path]["post"]["responses"]["200"]["content"]) for path in GENERATING}
    assert "text/event-stream" in kinds["/v1/chat/completions"]
    assert "text/event-stream" in kinds["/v1/completions"]
    assert "text/event-stream" not in kinds["/v1/embeddings"]
