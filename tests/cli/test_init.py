from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from app.settings import Source
from tests.cli.conftest import Result
from tests.cli.fake_ollama import CHAT, CLOUD, EMBED, fake_ollama

Run = Callable[..., Result]
FILE = Path("config/gateway.yaml")
ROOT = Path(__file__).parent.parent.parent


def test_it_writes_a_config_that_loads(smallfirst: Run) -> None:
    """The smallest local chat model is served, the embedding model is found, the base URL is printed."""
    with fake_ollama() as ollama:
        result = smallfirst("init", OLLAMA_HOST=ollama.url)
    config = Source(FILE, {}).load().config
    assert result.code == 0
    assert "http://127.0.0.1:8080/v1" in result.out
    backend = config.backends["ollama"]
    assert (backend.model, backend.zone, backend.reasoning) == ("qwen3:4b", "local", "off")
    assert config.embeddings
    assert config.embeddings.model == "nomic-embed-text:latest"
    assert "also here: qwen3:32b\n" in FILE.read_text()


def test_a_loaded_model_comes_first(smallfirst: Run) -> None:
    """What is in memory already needs no loading, so it is the one to serve."""
    with fake_ollama(loaded=["qwen3:32b"]) as ollama:
        smallfirst("init", OLLAMA_HOST=ollama.url)
    assert Source(FILE, {}).load().config.backends["ollama"].model == "qwen3:32b"


def test_a_cloud_model_is_remote(smallfirst: Run) -> None:
    """A model that Ollama passes on to its maker's cloud is never written as local."""
    with fake_ollama([CLOUD]) as ollama:
        smallfirst("init", OLLAMA_HOST=ollama.url)
    assert Source(FILE, {}).load().config.backends["ollama"].zone == "remote"


def test_it_never_overwrites_unasked(smallfirst: Run) -> None:
    """A file that is there stays as it is, unless --force is given."""
    FILE.parent.mkdir()
    FILE.write_text("mine")
    with fake_ollama() as ollama:
        result = smallfirst("init", OLLAMA_HOST=ollama.url)
        assert (result.code, FILE.read_text()) == (1, "mine")
        assert "--force" in result.err
        assert smallfirst("init", "--force").code == 0
    assert FILE.read_text() != "mine"


def test_no_ollama_is_one_sentence(smallfirst: Run) -> None:
    """Without an Ollama it says what to install, and fails."""
    result = smallfirst("init", OLLAMA_HOST="127.0.0.1:1")
    assert result.code == 1
    assert "install it from" in result.err
    assert "Traceback" not in result.err


def test_no_chat_model_names_the_pull(smallfirst: Run) -> None:
    """An Ollama that only embeds cannot serve chat."""
    with fake_ollama([EMBED]) as ollama:
        result = smallfirst("init", OLLAMA_HOST=ollama.url)
    assert result.code == 1
    assert "ollama pull" in result.err


def test_a_derived_model_fixes_the_context(smallfirst: Run) -> None:
    """--context makes a model with that window once, since changing it per call would reload the model."""
    with fake_ollama([CHAT]) as ollama:
        result = smallfirst("init", "--context", "16384", "--yes", OLLAMA_HOST=ollama.url)
    assert result.code == 0
    assert ollama.created == [
        {"model": "qwen3:4b-ctx16384", "from": "qwen3:4b", "parameters": {"num_ctx": 16384}, "stream": False}
    ]
    assert Source(FILE, {}).load().config.backends["ollama"].model == "qwen3:4b-ctx16384"


def test_a_wanted_model_must_be_there(smallfirst: Run) -> None:
    """--model picks one of those found and names the pull for one that is not."""
    with fake_ollama() as ollama:
        assert "ollama pull phi4" in smallfirst("init", "--model", "phi4", OLLAMA_HOST=ollama.url).err
        assert smallfirst("init", "--model", "qwen3:32b").code == 0
    assert Source(FILE, {}).load().config.backends["ollama"].model == "qwen3:32b"


def test_every_example_is_listed(smallfirst: Run) -> None:
    """By its name and the first line of what it is for; nothing is written."""
    result = smallfirst("init", "--example", "list")
    shown = [line.split()[0] for line in result.out.splitlines()]
    assert shown == sorted(path.stem for path in [ROOT / FILE, *(ROOT / "config/examples").glob("*.yaml")])
    assert not FILE.exists()


def test_an_example_is_copied_as_it_is(smallfirst: Run) -> None:
    """The same bytes as in the project, to a file that is not there yet."""
    result = smallfirst("init", "--example", "rules", "--output", "my.yaml")
    assert result.code == 0
    assert Path("my.yaml").read_bytes() == (ROOT / "config/examples/rules.yaml").read_bytes()
    assert smallfirst("init", "--example", "rules", "--output", "my.yaml").code == 1


def test_an_example_that_does_not_exist(smallfirst: Run) -> None:
    """Is bad usage, and those that do exist are named."""
    result = smallfirst("init", "--example", "rulez")
    assert result.code == 2
    assert "rules, scripted" in result.err
    assert not FILE.exists()
