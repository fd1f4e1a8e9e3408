from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ConfigError
from app.settings import Source
from tests.settings.configs import OLLAMA, TWO, load, written


def failure(source: Source) -> str:
    with pytest.raises(ConfigError) as failed:
        source.load()
    return str(failed.value)


def test_a_file_is_loaded(tmp_path: Path) -> None:
    """Also with the byte order mark some editors write."""
    path = written(tmp_path, "\ufeff" + OLLAMA)
    assert Source(path, {}).load().config == load(OLLAMA).config


def test_all_problems_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    """One a line, each with file, line and key; the variable where the value came from one."""
    path = written(tmp_path, OLLAMA + "server: {port: 1}\nserver: {prot: 1}\nrouting: {llm_share: 2}\n")
    lines = failure(Source(path, {"SMALLFIRST_SERVER__HOST": "[1]"})).splitlines()
    assert lines == [
        "SMALLFIRST_SERVER__HOST: server.host: must be a valid string",
        f"{path}:5: server: this key is written twice",
        f"{path}:5: server.prot: unknown key; did you mean 'port'?",
        f"{path}:6: routing.llm_share: must be less than or equal to 1",
    ]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, a directory, or no text."""
    assert failure(Source(tmp_path / "none.yaml", {})).endswith("none.yaml: cannot be read: No such file or directory")
    assert "cannot be read" in failure(Source(tmp_path, {}))
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    assert failure(Source(binary, {})).endswith("binary.yaml: not UTF-8 text")


def test_the_fingerprint_follows_the_content(tmp_path: Path) -> None:
    """Touching the file changes nothing; losing it is a change too."""
    path = written(tmp_path, OLLAMA)
    source = Source(path, {})
    first = source.fingerprint()
    path.touch()
    assert source.fingerprint() == first
    path.write_text(TWO)
    assert source.fingerprint() != first
    path.unlink()
    assert source.fingerprint() == b""


def test_missing_secrets_are_warnings() -> None:
    """Each says where, which variable, and what follows."""
    text = TWO.replace("model: big", "model: big, api_key_env: BIG_KEY")
    text += "server: {admin_key_env: ADMIN_KEY}\nkeys: [{name: app, env: APP_KEY}]"
    assert load(text).warnings == (
        "server.admin_key_env: the variable ADMIN_KEY is not set; nobody can use the admin key",
        "keys[0].env: the variable APP_KEY is not set; nobody can use this key",
        "backends.large.api_key_env: the variable BIG_KEY is not set; this backend starts down",
    )
    assert load(text, {"BIG_KEY": "a", "ADMIN_KEY": "b", "APP_KEY": "c"}).warnings == ()


def test_a_backend_that_nothing_reaches_is_a_warning() -> None:
    """Neither in a tier nor for embeddings."""
    text = TWO.replace("tiers:", "  spare: {kind: scripted, zone: local, model: s, price: unpriced}\ntiers:")
    assert load(text).warnings == ("backends.spare: in no tier and not used for embeddings, so nothing reaches it",)
    assert load(text + "embeddings: {backend: spare, model: e}").warnings == ()


def test_a_source_never_shows_its_environment() -> None:
    """Secrets are in there."""
    assert "sk-1" not in repr(Source(None, {"KEY": "sk-1"}, OLLAMA))


@given(at=st.integers(0, len(TWO)), cut=st.integers(0, 12), piece=st.sampled_from(list("{}[]:,-'\"&*!?\n\t ~1x")))
def test_any_edit_gives_a_config_or_a_config_error(at: int, cut: int, piece: str) -> None:
    """A reload must survive whatever an editor leaves behind."""
    source = Source(None, {"SMALLFIRST_TIERS__0__NAME": "first"}, TWO[:at] + piece + TWO[at + cut :])
    with contextlib.suppress(ConfigError):
        source.load()


def test_what_has_no_effect_yet_is_warned_about() -> None:
    """The agreed shape loads; nobody is left to believe that weights are weighed."""
    text = """
backends: {one: {kind: ollama, zone: local, base_url: "http://127.0.0.1:1", model: m, price: {kind: unpriced}}}
keys: [{name: app, env: APP, weight: 2}]
records: {kind: sqlite, path: data/records.db, store_text: false, keep_days: 30, max_mb: 500}
"""
    warnings = Source(None, {"APP": "x"}, text).load().warnings
    assert [line.split(":")[0] for line in warnings] == ["keys"]
