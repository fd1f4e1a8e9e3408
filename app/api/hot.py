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
from app.api.exchange import MOMENT, Exchange
from app.api.live import Live, Site
from app.core.types import Api, Caller
from app.errors import GatewayError, InvalidRequest, OurFault
from app.gateway import Delivery, Patience, Story

SILENCE = 10.0  # seconds; proxies and SDKs give up on a silent stream after 60 or so


class HotEndpoint:
    """An ASGI app for one API. `on_bug` is told of errors nobody foresaw."""

    def __init__(
        self, site: Site, api: Api, on_bug: Callable[[str, BaseException], None], silence: float = SILENCE
    ) -> None:
        self._site = site
        self._silence = silence
        self._api: Api = api
        self._on_bug = on_bug
        self._patience = Patience(MOMENT)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        site = self._site
        live = site.live
        headers = incoming.headers(scope)
        given = incoming.request_id(headers)
        request_id = given or site.new_id()
        if scope["method"] != "POST":
            return await _plain(send, request_id, errors.envelope(_post_only()), 405, [(b"allow", b"POST")])
        try:
            story = await self._begin(live, scope["headers"], headers, request_id, receive)
        except incoming.Gone:
            return None
        except Exception as error:
            return await _refuse(send, request_id, self._known(request_id, error))
        await self._respond(live, story, scope, receive, send)

    async def _begin(
        self, live: Live, pairs: incoming.Pairs, headers: incoming.RawHeaders, request_id: str, receive: Any
    ) -> Story:
        caller = Caller(request_id)
        try:
            caller = incoming.caller(headers, live, request_id, self._site.now(), pairs)
            raw = await incoming.body(headers, receive, live.max_body)
            request = incoming.parse(self._api, raw)
        except GatewayError as error:
            live.gateway.refuse(self._api, caller, error)
            raise
        return live.gateway.begin(request, caller)

    async def _respond(self, live: Live, story: Story, scope: Any, receive: Any, send: Any) -> None:
        assert story.request is not None
        stream_headers = (lambda: outgoing.STREAM + outgoing.decision(story)) if story.request.stream else None
        exchange = Exchange(scope, receive, send, stream_headers, self._silence, self._patience)
        try:
            delivery = await live.gateway.open(story)
            await (_whole if stream_headers is None else _stream)(delivery, exchange)
        except asyncio.CancelledError:
            if not exchange.left():
                raise
        except Exception as error:
            known = self._known(story.caller.request_id, error)
            story.fail(known)  # changes nothing where the gateway has done so
            await _give_up(exchange, story, known)
        finally:
            exchange.end()

    def _known(self, request_id: str, error: Exception) -> GatewayError:
        """The error itself, or what a client may know of one that nobody foresaw."""
        if isinstance(error, GatewayError):
            return error
        self._on_bug(request_id, error)
        return errors.unforeseen()


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
        await exchange.whole(headers, body)
    except asyncio.CancelledError:
        delivery.close(cancelled=True)
        raise
    delivery.close()


async def _stream(delivery: Delivery, exchange: Exchange) -> None:
    try:
        await exchange.start(200, outgoing.STREAM + outgoing.decision(delivery.story))
        exchange.delivery = delivery
        while not await delivery.relay(exchange.push):
            await exchange.write(b"")
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
    except Exception:
        delivery.close(errors.unforeseen())
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
    """The connection stays open even if the body was not read: closing it then would reset it, and the client
    would see that instead of the answer (measured). The server throws the rest away as it comes."""
    await _plain(send, request_id, errors.envelope(error), error.status, errors.retry_headers(error))


async def _plain(send: Any, request_id: str, body: bytes, status: int, extra: errors.Headers) -> None:
    headers = [outgoing.JSON, (b"content-length", b"%d" % len(body)), *outgoing.identity(request_id), *extra]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _post_only() -> GatewayError:
    return InvalidRequest("Use POST here.", status=405, code="method_not_allowed")
