"""The shipped configs load, are commented, and say what they promise."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.core.prices import Unpriced
from app.settings import Source

ROOT = Path(__file__).parent.parent
CONFIGS = sorted([ROOT / "config/gateway.yaml", *(ROOT / "config/examples").glob("*.yaml")])


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_it_loads(path: Path) -> None:
    """Every warning is about a secret that is not set here."""
    loaded = Source(path, {}).load()
    assert [warning for warning in loaded.warnings if "is not set" not in warning] == []


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_it_is_explained(path: Path) -> None:
    """It begins with what it is for."""
    assert path.read_text("utf-8").startswith("# ")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_prices_have_source_and_date(path: Path) -> None:
    """A figure without a source would be an invention."""
    for backend in Source(path, {}).load().config.backends.values():
        if not isinstance(backend.price.to_core(), Unpriced):
            assert getattr(backend.price, "source", None)
            assert getattr(backend.price, "as_of", None)


def test_private_stays_private() -> None:
    """The example for local use has no remote backend and makes local-only the rule."""
    config = Source(ROOT / "config/examples/privacy-local-only.yaml", {}).load().config
    assert config.routing.local_only
    assert {spec.zone for spec in config.backend_specs()} == {"local"}
