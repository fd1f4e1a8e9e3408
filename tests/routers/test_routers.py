"""Which router a config names."""

from __future__ import annotations

from pathlib import Path

import pytest

import router_models
from app.core.chat import ChatRequest
from app.errors import ConfigError
from app.routers import PLAIN, load_router, load_trained

DEFAULT = Path(router_models.__file__).parent / "default"


def test_default_is_the_packaged_artifact() -> None:
    """The name and the path of the packaged artifact give the same router."""
    assert load_router("default").version == load_router(str(DEFAULT)).version == load_trained("default").version
    assert load_router("default").name == "trained"


@pytest.mark.parametrize("name", ["length", "random", "constant"])
def test_plain_routers_have_names(name: str) -> None:
    """Each is found by the name it reports of itself."""
    assert load_router(name).name == name
    assert set(PLAIN) == {"length", "random", "constant"}


@pytest.mark.parametrize("name", ["default", *PLAIN])
@pytest.mark.parametrize("text", ["", "Hello", "证明根号2是无理数", "\ud800", "x" * 100_000])
def test_every_router_gives_probabilities(name: str, text: str) -> None:
    """A score between 0 and 1, thresholds that fall as the share grows, and parts of an explanation."""
    router = load_router(name)
    request = ChatRequest("chat", {"messages": [{"role": "user", "content": text}]})
    score = router.score(request)
    assert score is not None
    assert 0.0 <= score.value <= 1.0
    assert router.explain(request)
    thresholds = [router.threshold(share) for share in (0.0, 0.05, 0.5, 1.0)]
    assert thresholds == sorted(thresholds, reverse=True)
    assert (thresholds[0], thresholds[-1]) == (1.0, 0.0)


@pytest.mark.parametrize("load", [load_router, load_trained])
def test_an_unknown_path_is_a_config_error(tmp_path: Path, load: type) -> None:
    """The error names the directory."""
    with pytest.raises(ConfigError, match="nowhere"):
        load(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_router_cannot_be_adapted(name: str) -> None:
    """Only a trained one has anything to add to: the name is taken for a directory that is not there."""
    with pytest.raises(ConfigError, match=name):
        load_trained(name)
