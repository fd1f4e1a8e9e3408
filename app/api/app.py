"""The ASGI application: hot paths straight to their endpoint, everything else through FastAPI.

Each layer between the server and a hot endpoint costs microseconds per request and per chunk (measured), so
they get none; they still stand in the OpenAPI document.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import Lifespan

from app import __version__
from app.api import errors, incoming, outgoing
from app.api.hot import HotEndpoint
from app.api.incoming import Gone
from app.api.live import Site
from app.api.openapi import components, paths
from app.api.ops import routes
from app.core.types import Api
from app.errors import GatewayError, InvalidRequest

HOT: dict[str, Api] = {
    "/chat/completions": "chat",
    "/completions": "completion",
    "/embeddings": "embedding",
}
_HTTP_CODES = {404: "not_found", 405: "method_not_allowed"}
OnBug = Callable[[str, BaseException], None]


class SmallfirstApp(FastAPI):
    """FastAPI with a fast lane."""

    def __init__(self, site: Site, on_bug: OnBug, lifespan: Lifespan[Any] | None = None) -> None:
        super().__init__(title="Smallfirst", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
        hot: dict[str, HotEndpoint] = {}
        for path, api in HOT.items():
            hot[path] = hot[f"/v1{path}"] = HotEndpoint(site, api, on_bug)
        self._hot = hot
        self.state.site = site
        self.include_router(routes(site))
        self.add_exception_handler(GatewayError, _gateway_error)
        self.add_exception_handler(HTTPException, _http_error)
        self.add_exception_handler(Gone, _gone)
        self.add_exception_handler(Exception, _bug(on_bug))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await super().__call__(scope, receive, send)
        path = scope["path"].rstrip("/")
        endpoint = self._hot.get(path)
        if endpoint is not None:
            return await endpoint(scope, receive, send)
        request_id = incoming.request_id(incoming.headers(scope)) or self.state.site.new_id()
        scope = {**scope, "path": path or "/", "request_id": request_id}
        with contextlib.suppress(Exception):  # Starlette raises it again once it is answered and told to `on_bug`
            await super().__call__(scope, receive, _named(request_id, send))

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        document |= {"paths": paths(), "components": components()}
        return document


def _named(request_id: str, send: Any) -> Any:
    """Adds to every response what identifies it."""

    async def named(message: Any) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *outgoing.identity(request_id)]
        await send(message)

    return named


async def _gateway_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)
    return _response(error, {name.decode(): value.decode() for name, value in errors.retry_headers(error)})


async def _http_error(request: Request, error: Exception) -> Response:
    """Unknown paths and methods, in the shape SDKs can read."""
    assert isinstance(error, HTTPException)
    code = _HTTP_CODES.get(error.status_code, "invalid_request")
    fault = InvalidRequest(
        f"{error.detail}: {request.method} {request.url.path[:200]}", status=error.status_code, code=code
    )
    return _response(fault, error.headers or {})


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=499)


def _bug(on_bug: OnBug) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def bug(request: Request, error: Exception) -> Response:
        on_bug(request.scope["request_id"], error)
        return _response(errors.unforeseen(), {})

    return bug


def _response(error: GatewayError, headers: Mapping[str, str]) -> Response:
    return Response(errors.envelope(error), error.status, headers, media_type="application/json")
