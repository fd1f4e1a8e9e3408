"""docs/http.md and the code say the same: routes, headers, model names, reasons, errors, waits, endings."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from app.api import incoming, ops
from app.api.app import _HTTP_CODES, HOT, SmallfirstApp
from app.api.auth import LOOPBACK_NAMES, Key, digest, is_loopback_host
from app.api.exchange import COMMENT
from app.api.hot import SILENCE
from app.api.outgoing import STREAM
from app.backends import faults
from app.core import sessions
from app.core.admission import Lane
from app.core.baseline import TokenBaseline
from app.core.prices import TokenPrice
from app.core.types import Capability, Capacity, Reason
from app.errors import (
    GatewayError,
    OurFault,
    Saturated,
    Unauthenticated,
    UpstreamFault,
    UpstreamLoading,
    UpstreamRateLimited,
    UpstreamTimeout,
)
from app.gateway.books import Books
from app.gateway.slots import Ticket, acquire
from app.main.server import MAX_HEAD, Binding, Server
from tests.docs import pages
from tests.docs.pages import rows, section, word, words
from tests.fakes import EVENTS, FakeBackend, Play, Rig, two_tiers
from tests.serving import calling

PAGE = "http.md"
APP = Path(__file__).parent.parent.parent / "app"
BODIES = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
    "/v1/completions": {"prompt": "hi"},
    "/v1/embeddings": {"input": "hi"},
    "/v1/route": {"messages": [{"role": "user", "content": "hi"}]},
}
CHAT = "/v1/chat/completions"


def a_house(**options: Any) -> Rig:
    """The tiers and models that the page takes as its examples."""
    small = options.pop("small", None) or FakeBackend("ollama", model="qwen3:4b")
    large = options.pop("large", None) or FakeBackend("large", zone="remote", model="openai/gpt-oss-120b:groq")
    return two_tiers(small, large, embeddings=FakeBackend("embedder"), **options)


async def ask(rig: Rig, method: str, path: str, *keys: Key, loopback: bool = True, **options: Any) -> httpx.Response:
    async with calling(SmallfirstApp(rig.site(*keys, loopback=loopback), rig.on_bug)) as client:
        return await client.request(method, path, **options)


def trees(pattern: str) -> Iterator[ast.AST]:
    for path in APP.glob(pattern):
        yield from ast.walk(ast.parse(path.read_text("utf-8")))


def faults_of(error: type[GatewayError]) -> Iterator[type[GatewayError]]:
    yield error
    for narrower in error.__subclasses__():
        yield from faults_of(narrower)


# --- endpoints ----------------------------------------------------------------------------------------------


def served() -> set[tuple[str, str]]:
    """Every method and path that somebody answers."""
    rig = a_house()
    app = SmallfirstApp(rig.site(), rig.on_bug)
    routes = [*ops.routes(rig.site()).routes, *(one for one in app.routes if hasattr(one, "methods"))]
    found = {(method, one.path.replace(":path", "")) for one in routes for method in one.methods}  # type: ignore[attr-defined]
    return found | {("POST", prefix + path) for path in HOT for prefix in ("", "/v1")}


def test_endpoints() -> None:
    """The table has every route, and nothing else; the third column says which exist without the prefix."""
    told = set()
    for method, path, without, *_ in rows(PAGE, "Endpoints"):
        told.add((method, word(path)))
        if without == "yes":
            told.add((method, word(path).removeprefix("/v1")))
    assert told == served()


@pytest.mark.parametrize("row", rows(PAGE, "Endpoints"), ids=lambda row: f"{row[0]} {row[1]}")
async def test_who_may_ask(row: list[str]) -> None:
    """Asked without a key, where keys are wanted and the server is not on loopback."""
    method, path, _, who, _ = row
    place = word(path).replace("{model_id}", "auto")
    response = await ask(a_house(), method, place, Key("app", digest("k")), loopback=False, json=BODIES.get(word(path)))
    assert {401: "client", 403: "admin"}.get(response.status_code, "anyone") == who


def test_names_of_this_machine() -> None:
    """Those that open the admin's endpoints without a key."""
    assert set(words(section(PAGE, "Endpoints"))) >= LOOPBACK_NAMES


async def test_ready_answers_as_told() -> None:
    """All fields of /ready stand in the page."""
    body = (await ask(a_house(), "GET", "/ready", headers={"host": "localhost"})).json()
    told = section(PAGE, "Responses").partition("`GET /ready`")[2]
    assert {*body, *body["backends"]["ollama"]} == set(words(told)) - {"ready", "draining", "no backend is usable"}


async def test_route_answers_as_told() -> None:
    """All fields of /v1/route stand in the page."""
    body = (await ask(a_house(), "POST", "/v1/route", json=BODIES[CHAT])).json()
    told = section(PAGE, "Responses").partition("`POST /v1/route`")[2].partition(".")[0]
    assert list(body) == words(told)


# --- headers ------------------------------------------------------------------------------------------------


class Noting(dict[bytes, bytes]):
    """Headers that note which of them are asked for."""

    def __init__(self, values: dict[bytes, bytes]) -> None:
        super().__init__(values)
        self.asked: set[str] = set()

    def get(self, name: bytes, default: Any = None) -> Any:
        self.asked.add(name.decode())
        return super().get(name, default)


async def test_request_headers() -> None:
    """The table has each header that the code asks for."""
    rig, noting = a_house(), Noting({b"content-type": b"application/json"})
    live = rig.site(Key("app", digest("k"))).live

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}"}

    incoming.request_id(noting)
    with pytest.raises(Unauthenticated):
        live.keys.find(noting)
    incoming.caller(noting, rig.site().live, "r", 0.0)
    await incoming.body(noting, receive, 100)
    is_loopback_host(noting)
    assert {word(row[0]) for row in rows(PAGE, "Requests")} == noting.asked


@pytest.mark.parametrize(
    ("header", "values", "wrong"),
    [
        ("x-smallfirst-local-only", ["true", "1", "false", "0"], ["yes", ""]),
        ("x-smallfirst-deadline-ms", ["1", "86400000"], ["0", "86400001", "1.5", "-1"]),
    ],
)
async def test_values_of_wishes(header: str, values: list[str], wrong: list[str]) -> None:
    """The limits that the page names."""
    told = next(row[1] for row in rows(PAGE, "Requests") if word(row[0]) == header)
    assert all(value in told for value in values)
    for value in values:
        assert (await ask(a_house(), "POST", CHAT, json=BODIES[CHAT], headers={header: value})).status_code == 200
    for value in wrong:
        assert (await ask(a_house(), "POST", CHAT, json=BODIES[CHAT], headers={header: value})).status_code == 400


def test_lengths_of_names() -> None:
    """Of a session and a request id."""
    told = {word(row[0]): row[1] for row in rows(PAGE, "Requests")}
    assert "1 to 256" in told["x-session-id"]
    assert "1 to 128" in told["x-request-id"]
    assert incoming._session({b"x-session-id": b"!" * 256}) == "!" * 256
    assert incoming._session({b"x-session-id": b"!" * 257}) is None
    assert incoming.request_id({b"x-request-id": b"aZ9_.:@+/=-".ljust(128, b"x")})
    assert incoming.request_id({b"x-request-id": b"x" * 129}) is None


def written_headers() -> set[str]:
    """Names that stand in the files of the API that answer as the first of two: (b"name", value)."""
    nodes = [node for name in ("outgoing", "errors", "hot", "app", "ops") for node in trees(f"api/{name}.py")]
    firsts = [node.elts[0] for node in nodes if isinstance(node, ast.Tuple) and len(node.elts) == 2]
    return {one.value.decode() for one in firsts if isinstance(one, ast.Constant) and isinstance(one.value, bytes)}


def test_response_headers() -> None:
    """The table has each header that the code writes."""
    assert {word(row[0]) for row in rows(PAGE, "Responses")} == written_headers()


async def test_real_responses_have_no_other_header() -> None:
    """And between them they have all of the table."""
    cheap = TokenBaseline("all-llm", "llm", TokenPrice(1.0, 2.0))
    late = FakeBackend("ollama", Play(head=UpstreamLoading("It wakes.", retry_after=3.0)))
    slow = FakeBackend("ollama", Play(head=UpstreamTimeout("Too slow.")))
    pair = {"small": late, "large": FakeBackend("large", Play(head=UpstreamLoading("It wakes.", retry_after=3.0)))}
    streamed = {**BODIES[CHAT], "stream": True}
    with_baseline = a_house()
    with_baseline.gateway._books = Books(baseline=cheap)
    responses = [
        await ask(with_baseline, "POST", CHAT, json=BODIES[CHAT]),
        await ask(a_house(small=FakeBackend("ollama", Play(EVENTS))), "POST", CHAT, json=streamed),
        await ask(a_house(small=slow), "POST", CHAT, json=BODIES[CHAT]),
        await ask(a_house(**pair), "POST", CHAT, json=BODIES[CHAT]),
        await ask(a_house(small=slow, large=slow), "POST", CHAT, json=BODIES[CHAT]),
        await ask(a_house(), "POST", CHAT, Key("app", digest("k")), json=BODIES[CHAT]),
        await ask(a_house(), "GET", CHAT),
        await ask(a_house(), "POST", "/health"),
    ]
    assert [one.status_code for one in responses] == [200, 200, 200, 503, 504, 401, 405, 405]
    assert {name for one in responses for name in one.headers} == {word(row[0]) for row in rows(PAGE, "Responses")}


def test_headers_of_streams() -> None:
    """With their values."""
    told = {word(row[0]): words(row[1]) for row in rows(PAGE, "Responses")}
    for name, value in STREAM:
        assert value.decode() in told[name.decode()]


# --- decisions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", rows(PAGE, "The field `model`"), ids=lambda row: row[0])
async def test_models(row: list[str]) -> None:
    """Each example of the table is decided as it says."""
    answer = (await ask(a_house(), "POST", "/v1/route", json={**BODIES[CHAT], "model": word(row[0])})).json()
    assert answer["reason"] == word(row[2])
    if "threshold" in row[1]:
        assert str(answer["threshold"]) in row[1]
    if answer["reason"] != "score":
        assert answer["backend"] == "large"
    assert bool(answer["fallbacks"]) == (answer["reason"] != "explicit-model")


async def test_unknown_models_can_be_refused() -> None:
    """Where the config says so, and only those that are unknown."""
    for row in rows(PAGE, "The field `model`"):
        rig = a_house(unknown_models="reject")
        response = await ask(rig, "POST", "/v1/route", json={**BODIES[CHAT], "model": word(row[0])})
        assert response.status_code == (404 if "404" in row[1] else 200)


def test_reasons() -> None:
    """The table is the closed set."""
    assert {word(row[0]) for row in rows(PAGE, "Why this tier")} == set(get_args(Reason))


def test_needs() -> None:
    """All that a request can need is listed."""
    listed = section(PAGE, "Why this tier").partition("The needs of a request:")[2].partition(".\n")[0]
    assert words(listed) == list(get_args(Capability))


def test_final_reasons() -> None:
    """Each failure after which another backend is tried."""
    told = section(PAGE, "Why this tier").partition("`fallback:`")[2]
    goes_on = {one.kind for one in faults_of(UpstreamFault) if not one.__subclasses__() and not one.final}  # type: ignore[attr-defined]
    assert set(words(told)) == goes_on | {Saturated.kind}


# --- errors -------------------------------------------------------------------------------------------------


def raised() -> list[type[GatewayError]]:
    """Errors that the code makes somewhere; the others only group them."""
    called = {
        node.func.id for node in trees("**/*.py") if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    return [one for one in faults_of(GatewayError) if one.__name__ in called]


def test_errors() -> None:
    """Kind, status, type, code and what SDKs are told, of each."""
    table = {word(row[0]): row[1:5] for row in rows(PAGE, "Errors")}
    expected = {}
    for one in raised():
        retry = "-" if one.should_retry is None else f"`{str(one.should_retry).lower()}`"
        code = "stopping" if one is OurFault else one.code
        expected[one.kind] = [str(one.status), f"`{one.type}`", f"`{code}`", retry]
    assert table == expected


def test_narrower_codes() -> None:
    """Codes that are given where an error is raised."""
    given = {
        keyword.value.value
        for node in trees("**/*.py")
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "code" and isinstance(keyword.value, ast.Constant)
    }
    table = {word(row[0]): int(row[1]) for row in rows(PAGE, "Errors", 1)}
    assert set(table) == given | set(_HTTP_CODES.values())
    assert {status: table[code] for status, code in _HTTP_CODES.items()} == {status: status for status in _HTTP_CODES}


def test_statuses_that_are_kept() -> None:
    """Of a backend that refuses the request itself."""
    row = next(row for row in rows(PAGE, "Errors") if word(row[0]) == "rejected")
    kept = row[5].partition("one of ")[2].partition(";")[0]
    assert {int(number) for number in kept.split(", ")} == faults._ABOUT_THE_REQUEST


async def test_waits() -> None:
    """How long a client is told to wait, at least and at most."""
    told = {word(row[0]): row[1] for row in rows(PAGE, "Retries")}
    assert told.keys() == {Saturated.kind, UpstreamRateLimited.kind, UpstreamLoading.kind}
    for kind, status in ((UpstreamRateLimited.kind, 429), (UpstreamLoading.kind, 503)):
        waits = [faults.from_response(status, said, b"").retry_after for said in ("0.01", "9999", None)]
        shortest, longest, unsaid = (f"{wait:g}" for wait in waits if wait is not None)
        assert told[kind].endswith(f"from {shortest} to {longest}; {unsaid} if it said nothing")
    waits = [await saturated(mean) for mean in (0.0, 1e6)]
    assert told[Saturated.kind].endswith("from {:g} to {:g}".format(*waits))


async def saturated(mean: float) -> float:
    """What a newcomer is told where each one before took `mean` seconds."""
    lane: Lane[Ticket] = Lane(1, 0)
    for _ in range(100):
        await acquire(lane, Capacity(), None)
        lane.leave(mean)
    await acquire(lane, Capacity(), None)
    with pytest.raises(Saturated) as told:
        await acquire(lane, Capacity(), None)
    assert told.value.retry_after is not None
    return told.value.retry_after


# --- streams, sessions --------------------------------------------------------------------------------------


async def test_endings_of_streams() -> None:
    """A good one ends in [DONE], a broken one in one error event."""
    assert "`data: [DONE]`" in section(PAGE, "Streams")
    assert '`data: {"error": ...}`' in section(PAGE, "Streams")
    body = {**BODIES[CHAT], "stream": True}
    good = await ask(a_house(small=FakeBackend("ollama", Play(EVENTS))), "POST", CHAT, json=body)
    assert good.text.endswith("data: [DONE]\n\n")
    torn = FakeBackend("ollama", Play((EVENTS[0], UpstreamTimeout("Too slow."))))
    broken = await ask(a_house(small=torn), "POST", CHAT, json=body)
    assert broken.status_code == 200
    assert broken.text.splitlines()[-2].startswith('data: {"error":')
    assert "[DONE]" not in broken.text


def test_keep_alive() -> None:
    """After which silence, and which comment."""
    told = section(PAGE, "Streams")
    assert f"After {SILENCE:g} s without a byte" in told
    assert COMMENT.decode().strip() in words(told)


def test_sessions_remembered() -> None:
    """How many."""
    assert f"the last {sessions.LIMIT:,} of them" in section(PAGE, "Local-only").replace("\n", " ")


def test_longest_wait() -> None:
    """The reason for the upper limit is told with the limit."""
    assert f"than {faults.LONGEST:g} s" in section(PAGE, "Retries")


def test_links_within_the_page() -> None:
    """Headings that other pages and this one point to."""
    for anchor in ("errors", "retries", "local-only"):
        assert f"(#{anchor})" in pages.text(PAGE)
        assert section(PAGE, anchor.capitalize())


def test_bounds_of_a_connection() -> None:
    """How large a head may be, and how long somebody may keep us waiting."""
    told = section(PAGE, "Requests").replace("\n", " ")
    assert f"a head of more than {MAX_HEAD // 1024} KB a 431" in told
    server = Server(None, Binding("127.0.0.1", 0, 0.0, 0.0), lambda: None, lambda: None)
    assert f"for {server.config.timeout_keep_alive} s is cut off" in told
