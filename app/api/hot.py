"""The hot endpoints as plain ASGI: chat completions, completions, embeddings.

One straight line: key and headers, body, decision, answer. Errors before the first byte are real HTTP
statuses; after it one error event ends the stream. `except Exception` stands here and nowhere else in this
room: the outermost edge, where an unforeseen error becomes a logged 500 without a traceback for the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from app.api import errors, incoming, outgoing
from app.api.exchange import Exchange
from app.api.live import Live, Site
from app.core.chat import ChatRequest
from app.core.types import Api, Caller
from app.errors import BodyTooLarge, GatewayError, OurFault
from app.gateway import Delivery, Story


class HotEndpoint:
    """An ASGI app for one API. `on_bug` is told of errors nobody foresaw."""

    def __init__(self, site: Site, api: Api, on_bug: Callable[[str, BaseException], None]) -> None:
        self._site = site
        self._api: Api = api
        self._on_bug = on_bug

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        site = self._site
        live = site.live
        headers = dict(scope["headers"])
        given = incoming.request_id(headers)
        request_id = given or site.new_id()
        if scope["method"] != "POST":
            return await _plain(send, request_id, errors.envelope(_post_only()), 405, [(b"allow", b"POST")])
        caller = Caller(request_id)
        try:
            caller = incoming.caller(headers, live, request_id, site.now())
            raw = await incoming.body(headers, receive, live.max_body)
            request = incoming.parse(self._api, raw)
        except GatewayError as error:
            live.gateway.refuse(caller, error)
            return await _refuse(send, request_id, error)
        except incoming.Gone:
            return None
        await self._respond(live, request, caller, receive, send)

    async def _respond(self, live: Live, request: ChatRequest, caller: Caller, receive: Any, send: Any) -> None:
        try:
            story = live.gateway.begin(request, caller)
        except GatewayError as error:
            return await _refuse(send, caller.request_id, error)
        stream_headers = (lambda: outgoing.STREAM + outgoing.decision(story)) if request.stream else None
        exchange = Exchange(receive, send, self._site.now, stream_headers)
        try:
            await self._answer(live, story, exchange)
        except asyncio.CancelledError:
            if not exchange.left():
                raise
        except Exception as error:
            self._on_bug(caller.request_id, error)
            bug = _bug()
            story.fail(bug)
            await _give_up(exchange, story, bug)
        finally:
            exchange.end()

    async def _answer(self, live: Live, story: Story, exchange: Exchange) -> None:
        try:
            delivery = await live.gateway.open(story)
        except GatewayError as error:
            return await _give_up(exchange, story, error)
        assert story.request is not None
        if story.request.stream:
            await _stream(delivery, exchange)
        else:
            await _whole(delivery, exchange)


async def _whole(delivery: Delivery, exchange: Exchange) -> None:
    body = delivery.whole()
    story = delivery.story
    headers = [
        outgoing.JSON,
        (b"content-length", b"%d" % len(body)),
        *outgoing.decision(story),
        *outgoing.cost(story),
    ]
    try:
        await exchange.start(200, headers)
        await exchange.write(body, more=False)
    except asyncio.CancelledError:
        delivery.close(cancelled=True)
        raise
    delivery.close()


async def _stream(delivery: Delivery, exchange: Exchange) -> None:
    try:
        await exchange.start(200, outgoing.STREAM + outgoing.decision(delivery.story))
        while (piece := await delivery.read()) is not None:
            await exchange.write(piece)
        await exchange.write(b"", more=False)
    except GatewayError as error:
        delivery.close(error)
        await exchange.write(errors.event(error), more=False)
        return
    except asyncio.CancelledError:
        if exchange.gone:
            delivery.close(cancelled=True)
        else:  # the server stops and the drain time is over
            stopping = OurFault("The gateway is stopping; the answer is incomplete.", code="stopping")
            delivery.close(stopping)
            await exchange.write(errors.event(stopping), more=False)
        raise
    delivery.close()


async def _give_up(exchange: Exchange, story: Story, error: GatewayError) -> None:
    if exchange.started:  # a keep-alive has committed the status
        await exchange.write(errors.event(error), more=False)
        return
    body = errors.envelope(error)
    headers = [
        outgoing.JSON,
        (b"content-length", b"%d" % len(body)),
        *outgoing.decision(story),
        *errors.retry_headers(error),
    ]
    await exchange.start(error.status, headers)
    await exchange.write(body, more=False)


async def _refuse(send: Any, request_id: str, error: GatewayError) -> None:
    extra = errors.retry_headers(error)
    if isinstance(error, BodyTooLarge):
        extra.append((b"connection", b"close"))  # the rest of the body is not worth reading
    await _plain(send, request_id, errors.envelope(error), error.status, extra)


async def _plain(send: Any, request_id: str, body: bytes, status: int, extra: errors.Headers) -> None:
    headers = [outgoing.JSON, (b"content-length", b"%d" % len(body)), *outgoing.identity(request_id), *extra]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _post_only() -> GatewayError:
    return GatewayError("Use POST here.", status=405, code="method_not_allowed")


def _bug() -> GatewayError:
    return GatewayError("The gateway failed on this request. Its log has the details under this request id.")
