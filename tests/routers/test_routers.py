"""Which router a config names."""

from __future__ import annotations

from pathlib import Path

import pytest

import router_models
from app.errors import ConfigError
from app.routers import load_router

DEFAULT = Path(router_models.__file__).parent / "default"


def test_default_is_the_packaged_artifact() -> None:
    """The name and the path of the packaged artifact give the same router."""
    assert load_router("default").version == load_router(str(DEFAULT)).version
    assert load_router("default").name == "linear"


def test_an_unknown_path_is_a_config_error(tmp_path: Path) -> None:
    """The error names the directory."""
    with pytest.raises(ConfigError, match="nowhere"):
        load_router(str(tmp_path / "nowhere"))
