"""The ASGI application: hot paths straight to their endpoint, everything else through FastAPI.

Each layer between the server and a hot endpoint costs microseconds per request and per chunk (measured), so
they get none; they still stand in the OpenAPI document.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import Lifespan

from app import __version__
from app.api import errors, outgoing
from app.api.hot import HotEndpoint
from app.api.incoming import Gone
from app.api.live import Site
from app.api.openapi import hot_paths
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

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        endpoint = self._hot.get(scope["path"].rstrip("/")) if scope["type"] == "http" else None
        if endpoint is not None:
            await endpoint(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        document["paths"].update(hot_paths())
        return document


async def _gateway_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)
    return _response(request, error, dict(errors.retry_headers(error)))


async def _http_error(request: Request, error: Exception) -> Response:
    """Unknown paths and methods, in the shape SDKs can read."""
    assert isinstance(error, HTTPException)
    code = _HTTP_CODES.get(error.status_code, "invalid_request")
    fault = InvalidRequest(
        f"{error.detail}: {request.method} {request.url.path[:200]}", status=error.status_code, code=code
    )
    return _response(request, fault, {name.encode(): value.encode() for name, value in (error.headers or {}).items()})


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=499)


def _response(request: Request, error: GatewayError, extra: dict[bytes, bytes]) -> Response:
    site: Site = request.app.state.site
    response = Response(errors.envelope(error), status_code=error.status, media_type="application/json")
    for name, value in {**extra, **dict(outgoing.identity(site.new_id()))}.items():
        response.headers[name.decode()] = value.decode()
    return response
