from __future__ import annotations

from pathlib import Path

import pytest

from app.backends.llama.launch import Launch
from app.cli.started import asked, plans
from app.core.types import Facts
from app.settings import Source
from tests.backends.llama.fake_server import installed, lives, model, starts
from tests.e2e.process import free_port

CONFIG = """
backends:
  plain: {kind: openai, zone: local, model: a, base_url: "http://127.0.0.1:1", price: unpriced}
  hub: {kind: openai, zone: local, model: b, start: {llama_server: {model: hf://o/r/b.gguf}}, price: unpriced}
  file: {kind: llama-cpp, zone: local, model: c, start: {llama_server: {model: c.gguf}}, price: unpriced,
         base_url: "http://127.0.0.1:8082"}
tiers: [{name: slm, backends: [plain, hub, file]}]
"""
NONE: frozenset[str] = frozenset()


def launch(file: Path) -> Launch:
    return Launch(str(file), "tiny", "127.0.0.1", free_port())


async def ready() -> Facts:
    return Facts("ready")


def test_only_those_with_a_start_are_planned(tmp_path: Path) -> None:
    """A file is looked for; of the hub nobody is asked."""
    hub, file = plans(Source(None, {}, CONFIG).load().config, {"PATH": installed(tmp_path)})
    assert (hub.backend, hub.lacks) == ("hub", ())
    assert file.backend == "file"
    assert list(file.warnings()) == [
        "backends.file.start: there is no file c.gguf, which start.llama_server.model names; this backend starts down"
    ]


async def test_one_that_runs_already_is_not_started_again(tmp_path: Path) -> None:
    """A gateway may be serving with it."""
    environ = {"PATH": installed(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
    one = launch(model(tmp_path))

    async def inner() -> Facts:
        return await asked(one, environ, NONE, 60.0, ready)

    assert (await asked(one, environ, NONE, 60.0, inner)).state == "ready"
    (start,) = starts(one.file)
    assert not lives(start.pid)


async def test_one_that_is_still_on_its_way(tmp_path: Path) -> None:
    """After so much patience it is said to be loading, and ended."""
    environ = {"PATH": installed(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
    one = launch(model(tmp_path, load=1000.0))

    async def never() -> Facts:
        pytest.fail("it has not loaded")

    assert (await asked(one, environ, NONE, 2.0, never)).state == "loading"
    assert not any(lives(start.pid) for start in starts(one.file))
