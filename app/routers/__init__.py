"""Which router a config names: `default`, the artifact in the package, or the path of another artifact."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from app.ports import Router
from app.routers.linear import LinearRouter


def load_router(name_or_path: str) -> Router:
    """The router called `default`, or the one in a directory. Raises ConfigError if it cannot be used."""
    if name_or_path == "default":
        return LinearRouter.load(files("router_models").joinpath("default"))
    return LinearRouter.load(Path(name_or_path))
