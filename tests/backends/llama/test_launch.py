from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from app.backends.llama.launch import Launch, parts

LAUNCH = Launch("hf://Qwen/Q-GGUF/sub/q.gguf", "q", "127.0.0.1", 8081, slots=3, context=2000)


def test_where_the_model_is() -> None:
    """On the hub by repository and file, with its folders; else a path of this machine, whose ~ is known."""
    assert LAUNCH.on_hub == ("Qwen/Q-GGUF", "sub/q.gguf")
    local = replace(LAUNCH, model="~/q.gguf")
    assert local.on_hub is None
    assert local.file == Path.home() / "q.gguf"


def test_one_request_gets_the_whole_context() -> None:
    """The server divides what it is given by its slots."""
    words = LAUNCH.options(Path("/models/q.gguf"))
    said = dict(zip(words[:-2:2], words[1:-2:2], strict=True))
    assert int(said["--ctx-size"]) // int(said["--parallel"]) == 2000
    assert said["--model"] == "/models/q.gguf"
    assert words[-2:] == ["--metrics", "--jinja"]


@pytest.mark.parametrize(("host", "at"), [("127.0.0.1", "127.0.0.1:8081"), ("::1", "[::1]:8081")])
def test_the_address(host: str, at: str) -> None:
    """As one writes it in a URL."""
    assert replace(LAUNCH, host=host).at == at


def test_where_its_words_are_kept() -> None:
    """In the folder for such things, by the port: no two run at one."""
    assert LAUNCH.journal({"XDG_STATE_HOME": "/state"}) == Path("/state/smallfirst/llama-server-8081.log")
    assert LAUNCH.journal({}).parent == Path.home() / ".local/state/smallfirst"


def test_parts_of_a_split_model() -> None:
    """All of them; a file that is whole is its only part."""
    assert parts("q.gguf") == ["q.gguf"]
    assert parts("a/q-00001-of-00003.gguf") == [f"a/q-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
