"""On this machine, with the fake llama-server on a PATH of the test's own."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.backends.llama.launch import Cannot, Launch
from app.backends.llama.machine import Child, Machine
from tests.backends.llama import fake_server
from tests.backends.llama.fake_hub import fake_hub
from tests.e2e.process import exchange, free_port, post


def machine(folder: Path, **environ: str) -> Machine:
    return Machine({"PATH": fake_server.installed(folder / "bin"), "XDG_STATE_HOME": str(folder), **environ})


def launch(model: object, port: int = 0) -> Launch:
    return Launch(str(model), "tiny", "127.0.0.1", port or free_port(), slots=2, context=512)


def silent(told: dict[str, Any]) -> None:
    """Nobody listens."""


@asynccontextmanager
async def running(folder: Path, **behaviour: Any) -> AsyncIterator[tuple[Child, Launch]]:
    one = launch(fake_server.model(folder, **behaviour))
    child = await machine(folder).start(one, one.file)
    try:
        async with asyncio.timeout(20):
            while not await child.healthy():
                await asyncio.sleep(0.02)
        yield child, one
    finally:
        await child.stop(grace=0.0)


async def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Its path and the key that names it are said."""
    with pytest.raises(Cannot, match=r"there is no file .*none\.gguf, which start\.llama_server\.model names"):
        await machine(tmp_path).file(launch(tmp_path / "none.gguf"), silent)


async def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    """How to get it is said."""
    with pytest.raises(Cannot, match="there is no llama-server on PATH: install"):
        await Machine({"PATH": str(tmp_path)}).start(launch("a.gguf"), Path("a.gguf"))


async def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """Nothing is started; whoever listens there is left alone."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        one = launch(fake_server.model(tmp_path), taken.getsockname()[1])
        with pytest.raises(Cannot, match=f"{one.at} cannot be listened at .*: stop what does, or write another port"):
            await machine(tmp_path).start(one, one.file)
    assert fake_server.starts(one.file) == []


async def test_a_program_that_cannot_be_run(tmp_path: Path) -> None:
    """It ends at once, and the reason is in the log."""
    one = launch(fake_server.model(tmp_path))
    local = machine(tmp_path)
    (tmp_path / "bin" / "llama-server").write_text("#!/nowhere/at/all\n")
    child = await local.start(one, one.file)
    assert await child.wait() != 0
    assert "No such file" in child.journal.read_text()


async def test_a_model_of_the_hub(tmp_path: Path) -> None:
    """Fetched by a process of its own, with the token that no server gets to see."""
    with fake_hub(c=b"{}") as hub:
        local = machine(tmp_path, HF_ENDPOINT=hub.url, HF_HOME=str(tmp_path), HF_TOKEN="hf_a", A_KEY="sk-a")
        local.hidden = frozenset({"A_KEY", "HF_TOKEN"})
        told: list[dict[str, Any]] = []
        one = launch("hf://owner/repo/c.gguf")
        path = await local.file(one, told.append)
        assert path.read_bytes() == b"{}"
        assert [words["name"] for words in told] == ["c.gguf"]
        assert hub.keys == {"Bearer hf_a"}
        child = await local.start(one, path)
        try:
            async with asyncio.timeout(20):
                while not fake_server.starts(path):
                    await asyncio.sleep(0.02)
        finally:
            await child.stop()
        seen = fake_server.starts(path)[0].environ
        assert "HF_ENDPOINT" in seen
        assert not {"HF_TOKEN", "A_KEY"} & set(seen)


async def test_a_model_that_the_hub_does_not_have(tmp_path: Path) -> None:
    """In the words of the process that fetches."""
    with fake_hub(c=b"{}") as hub:
        local = machine(tmp_path, HF_ENDPOINT=hub.url, HF_HOME=str(tmp_path))
        with pytest.raises(Cannot, match=r"hf://owner/repo/d\.gguf cannot be fetched: there is no such file"):
            await local.file(launch("hf://owner/repo/d.gguf"), silent)


async def test_fetching_can_be_ended_at_any_moment(tmp_path: Path) -> None:
    """Nothing waits for gigabytes, and no process stays."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        local = machine(tmp_path, HF_ENDPOINT=url, HF_HOME=str(tmp_path))
        fetching = asyncio.create_task(local.file(launch("hf://owner/repo/c.gguf"), silent))
        mute.settimeout(20)
        connection, _ = await asyncio.to_thread(mute.accept)
        with connection:
            fetching.cancel()
            await asyncio.wait({fetching})
            assert fetching.cancelled()
            connection.settimeout(5)
            while await asyncio.to_thread(connection.recv, 4096):
                """Until its end of the connection is gone, as the process is."""


async def test_whether_it_is_loaded_and_whether_it_works(tmp_path: Path) -> None:
    """By its own words; one that has ended is neither."""
    async with running(tmp_path, words=0.02) as (child, one):
        assert await child.idle()
        body = b'{"messages": [], "stream": true}'
        asked = asyncio.create_task(exchange(one.port, post(body)))
        async with asyncio.timeout(20):
            while await child.idle():
                await asyncio.sleep(0.01)
        assert b"[DONE]" in (await asked or b"")
        assert await child.idle()
        await child.stop()
        assert await child.wait() < 0
        assert not await child.healthy()
        assert await child.idle()


async def test_one_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    """After its time to end; stopping twice is no error."""
    async with running(tmp_path, stubborn=True) as (child, _):
        await child.stop(grace=0.2)
        assert await child.wait() == -9
        await child.stop()
        with pytest.raises(ProcessLookupError):
            os.kill(child.pid, 0)


async def test_what_it_prints_is_kept(tmp_path: Path) -> None:
    """Beside what earlier ones printed."""
    async with running(tmp_path) as (first, one):
        await first.stop()
        second = await machine(tmp_path).start(one, one.file)
        await second.stop(grace=2.0)
        await second.cut_journal()
        assert first.journal == second.journal == one.journal({"XDG_STATE_HOME": str(tmp_path)})
        assert "loading tiny.gguf" in first.journal.read_text()
