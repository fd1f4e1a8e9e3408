"""The hot endpoints' part of the OpenAPI document."""

from __future__ import annotations

from app.api.openapi import hot_paths


def test_hot_paths() -> None:
    """Each generating endpoint has a body schema, an answer and the error envelope."""
    paths = hot_paths()
    assert set(paths) == {"/v1/chat/completions", "/v1/completions", "/v1/embeddings"}
    for path in paths.values():
        operation = path["post"]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        assert set(schema["required"]) <= set(schema["properties"])
        error = operation["responses"]["default"]["content"]["application/json"]["schema"]
        assert error["properties"]["error"]["required"] == ["message", "type", "param", "code"]


def test_streams() -> None:
    """Chats and completions may answer as events, embeddings not."""
    kinds = {path: set(item["post"]["responses"]["200"]["content"]) for path, item in hot_paths().items()}
    assert "text/event-stream" in kinds["/v1/chat/completions"]
    assert "text/event-stream" not in kinds["/v1/embeddings"]
