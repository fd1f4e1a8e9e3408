"""What probing teaches about each kind, and that it neither loads a model nor wakes an endpoint."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest

from app.backends.probe import Asking, prewarm, probe, refresh, warming
from app.backends.quirks import EVERYTHING
from app.backends.scripted import Endpoint, Kind, Model, Scripted, serve
from app.core.types import BackendSpec, Zone

KINDS: list[Kind] = ["ollama", "vllm", "llama-cpp", "tgi", "transformers", "openai"]
LEARNED = {"ollama", "vllm", "llama-cpp", "tgi"}


def asking(
    url: str, kind: str, zone: Zone = "local", model: str = "m", spec_kind: str | None = None, **more: object
) -> Asking:
    return Asking(BackendSpec("one", spec_kind or kind, zone, url, model), kind, **more)  # type: ignore[arg-type]


def generated(scripted: Scripted) -> int:
    return scripted.seen.requests


@pytest.mark.parametrize("kind", KINDS)
async def test_state_and_window_are_learned(kind: Kind) -> None:
    """Where the server tells its window; a model is never asked anything."""
    scripted = Scripted(Model(imitates=kind, name="m", context_window=8192))
    async with serve(scripted) as url:
        facts = await probe(asking(url, kind))
    assert facts.state == "ready"
    assert facts.context_window == (8192 if kind in LEARNED else None)
    assert generated(scripted) == 0
    assert scripted.seen.loads == 0


async def test_an_ollama_that_is_not_loaded_stays_so() -> None:
    """Its window is not known then: it is never the one the model was trained for."""
    scripted = Scripted(Model(imitates="ollama", name="m", loaded=False))
    async with serve(scripted) as url:
        facts = await probe(asking(url, "ollama"))
        assert (facts.state, facts.context_window) == ("ready", None)
        assert await warming(asking(url, "ollama"))
        await refresh(asking(url, "ollama", keep_alive=60.0))
        assert scripted.seen.loads == 0
        await prewarm(asking(url, "ollama", keep_alive=60.0))
        assert scripted.seen.loads == 1
        assert not await warming(asking(url, "ollama"))


@pytest.mark.parametrize(("thinks", "tools", "vision"), [(True, False, True), (False, True, False)])
async def test_an_ollama_models_abilities_are_learned(thinks: bool, tools: bool, vision: bool) -> None:
    """From /api/show, which loads nothing."""
    async with serve(Scripted(Model(imitates="ollama", name="m", thinks=thinks, tools=tools, vision=vision))) as url:
        facts = await probe(asking(url, "ollama"))
    assert facts.thinks is thinks
    assert facts.capabilities is not None
    assert ("tools" in facts.capabilities, "vision" in facts.capabilities) == (tools, vision)


async def test_a_model_that_is_not_there_says_how_to_get_it() -> None:
    """Down, with the command that cures it."""
    async with serve(Scripted(Model(imitates="ollama", name="m"))) as url:
        facts = await probe(asking(url, "ollama", model="other"))
    assert facts.state == "down"
    assert "ollama pull other" in (facts.problem or "")


@pytest.mark.parametrize(
    ("listed", "problem"),
    [
        (["m"], None),
        ([], None),
        (["other"], "does not list 'm', but other"),
        (list("abcde"), "does not list 'm', but a, b, c and 2 more"),
    ],
)
async def test_a_model_that_is_not_listed_is_told(listed: list[str], problem: str | None) -> None:
    """A typing error shows here and not in the first request; some servers answer to any name, so it stays ready."""
    server, url = await answering(json.dumps({"data": [{"id": name} for name in listed]}).encode())
    async with server:
        facts = await probe(asking(url, "openai"))
    assert (facts.state, facts.problem, facts.models) == ("ready", problem, tuple(listed))


async def answering(body: bytes, status: bytes = b"200 OK") -> tuple[asyncio.Server, str]:
    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status, len(body), body))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(client, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(("zone", "state"), [("local", "down"), ("remote", "ready")])
async def test_a_cloud_model_is_refused_in_zone_local(zone: Zone, state: str) -> None:
    """An Ollama that only passes the prompt on to its maker is not local."""
    body = b'{"version":"1","models":[],"capabilities":["completion"],"remote_host":"https://ollama.com"}'
    server, url = await answering(body)
    async with server:
        facts = await probe(asking(url, "ollama", zone))
    assert facts.state == state


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"null", b'{"data":[1]}', b'{"models":"x"}'])
@pytest.mark.parametrize("kind", KINDS)
async def test_odd_answers_are_a_state_not_an_error(kind: str, body: bytes) -> None:
    """Whatever listens at that address."""
    server, url = await answering(body)
    async with server:
        assert (await probe(asking(url, kind))).state in ("ready", "down")
        assert await warming(asking(url, kind)) in (True, False)


async def test_nobody_there_is_down() -> None:
    """With a word about it, at once."""
    facts = await probe(asking("http://127.0.0.1:1", "vllm"))
    assert facts.state == "down"
    assert "cannot be reached" in (facts.problem or "")


@pytest.mark.parametrize("base", ["http://[bad", "nonsense", "http://a b", "http://127.0.0.1:1"])
async def test_no_address_makes_asking_an_error(base: str) -> None:
    """A mistyped one is down like one where nobody is."""
    for kind in KINDS:
        one = asking(base, kind, keep_alive=60.0)
        assert (await probe(one)).state == "down"
        assert not await warming(one)
        await refresh(one)
        await prewarm(one)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "http://:bad"])
async def test_a_proxy_that_cannot_be_used_is_down(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes from the environment, which nobody checked; zone local does not look at it."""
    monkeypatch.setenv("ALL_PROXY", proxy)
    one = asking("http://upstream.invalid", "vllm", "remote")
    assert "proxy" in ((await probe(one)).problem or "")
    assert not await warming(one)
    async with serve(Scripted(Model(imitates="vllm", name="m"))) as url:
        assert (await probe(asking(url, "vllm"))).state == "ready"


async def test_deep_json_is_an_odd_answer() -> None:
    """Deeper than Python's reader goes."""
    server, url = await answering(b"[" * 100_000)
    async with server:
        assert (await probe(asking(url, "openai"))).state == "down"


async def test_a_server_that_hardly_answers_holds_one_thread() -> None:
    """Each byte resets the clock of a read, so there is one over all; the next probe does not queue behind it."""
    asked = 0

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        with contextlib.suppress(OSError):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")
            await writer.drain()
            await release.wait()
        writer.close()

    release = asyncio.Event()
    server = await asyncio.start_server(client, "127.0.0.1", 0)
    async with server:
        one = asking(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "openai")
        first = asyncio.create_task(probe(one))
        while not asked:
            await asyncio.sleep(0.01)
        assert (await probe(one)).problem == "answers too slowly"
        release.set()
        assert (await first).state == "down"
        assert asked == 1
        assert (await probe(one)).state == "down"
        assert asked == 2


async def test_a_wrong_key_is_named() -> None:
    """By any server with a list of models."""
    server, url = await answering(b"{}", b"401 Unauthorized")
    async with server:
        assert "key" in ((await probe(asking(url, "openai"))).problem or "")


@pytest.mark.parametrize("vision", [False, True])
async def test_a_llama_servers_sight_is_learned(vision: bool) -> None:
    """A model without a projector is blind."""
    async with serve(Scripted(Model(imitates="llama-cpp", name="m", vision=vision))) as url:
        facts = await probe(asking(url, "llama-cpp"))
    assert facts.capabilities == (None if vision else EVERYTHING - {"vision", "vision_url"})


async def test_a_loading_llama_server_is_loading() -> None:
    """503 until its weights are there."""
    async with serve(Scripted(Model(imitates="llama-cpp", name="m", loaded=False, load=30.0))) as url:
        assert (await probe(asking(url, "llama-cpp"))).state == "loading"


@pytest.mark.parametrize(("state", "expected"), [("scaledToZero", "asleep"), ("paused", "down"), ("running", "ready")])
async def test_an_endpoint_is_asked_without_waking_it(state: str, expected: str) -> None:
    """Through its management API; its own address only while it runs anyway."""
    endpoint = Endpoint("team", "large", state=state, replicas=2)
    scripted = Scripted(Model(imitates="vllm", name="m", context_window=8192), endpoint)
    async with serve(scripted) as url:
        management = f"{url}/v2/endpoint/team/large"
        facts = await probe(asking(url, "vllm", "remote", spec_kind="hf-endpoint", management=management))
    assert facts.state == expected
    assert endpoint.state == state
    assert facts.replicas == (2 if state == "running" else 0)
    assert facts.context_window == (8192 if state == "running" else None)


async def test_asking_does_not_keep_an_endpoint_awake() -> None:
    """An hour of probes: it falls asleep when it is due, as if nobody had asked, and is learned anew when it wakes."""
    clock = [0.0]
    endpoint = Endpoint("team", "large", idle=900.0, wake=60.0, now=lambda: clock[0])
    async with serve(Scripted(Model(imitates="vllm", name="m", context_window=8192), endpoint)) as url:
        one = asking(url, "vllm", "remote", spec_kind="hf-endpoint", management=f"{url}/v2/endpoint/team/large")
        facts = []
        for _ in range(40):
            facts.append(await probe(one))
            clock[0] += 90.0
        assert [found.state for found in facts] == ["ready"] * 10 + ["asleep"] * 30
        assert {found.context_window for found in facts[:10]} == {8192}
        assert endpoint.minutes_billed == 15
        assert await warming(one)
        endpoint.resume()
        assert (await probe(one)).state == "loading"
        clock[0] += 60.0
        assert (await probe(one)).context_window == 8192
        assert not await warming(one)


@pytest.mark.parametrize("engine", ["tgi", "llama-cpp"])
async def test_an_endpoints_engine_that_does_not_answer_is_not_asked_for_ever(engine: str) -> None:
    """A few times: just woken it may fail. The endpoint counts as ready, since it runs."""
    scripted = Scripted(Model(imitates="openai", name="m"), Endpoint("team", "large", idle=900.0))
    async with serve(scripted) as url:
        one = asking(url, engine, "remote", spec_kind="hf-endpoint", management=f"{url}/v2/endpoint/team/large")
        for _ in range(9):
            facts = await probe(one)
    assert facts.state == "ready"
    assert facts.problem
    assert one.engine.asked == 3


@pytest.mark.parametrize("sees", [True, False, None])
async def test_a_llama_server_says_whether_it_sees(sees: bool | None) -> None:
    """By its modalities; one that does not say is taken at its kind's word."""
    said = b"" if sees is None else b',"modalities":{"vision":%s,"audio":false}' % str(sees).lower().encode()
    server, url = await answering(b'{"default_generation_settings":{"n_ctx":4096}%s}' % said)
    async with server:
        facts = await probe(asking(url, "llama-cpp"))
    assert facts.context_window == 4096
    assert (facts.capabilities is None) == (sees is not False)
    if facts.capabilities is not None:
        assert not facts.capabilities & {"vision", "vision_url"}
        assert "tools" in facts.capabilities


@pytest.mark.parametrize("status", [b"403 Forbidden", b"404 Not Found"])
async def test_a_list_that_may_not_be_read_says_nothing(status: bytes) -> None:
    """Some keys may chat and not list."""
    server, url = await answering(b"{}", status)
    async with server:
        assert (await probe(asking(url, "openai"))).state == "ready"


async def test_an_endpoint_without_management_is_left_alone() -> None:
    """Any call to its own address might wake it."""
    endpoint = Endpoint(state="scaledToZero")
    scripted = Scripted(Model(imitates="vllm", name="m"), endpoint)
    async with serve(scripted) as url:
        facts = await probe(asking(url, "vllm", "remote", spec_kind="hf-endpoint"))
    assert facts.state == "unknown"
    assert endpoint.state == "scaledToZero"
