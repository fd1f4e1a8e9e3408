"""Which router a config names: `default`, the artifact in the package, a plain one, or the path of another artifact."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path

from app.ports import Router
from app.routers.plain import ConstantRouter, LengthRouter, RandomRouter
from app.routers.trained import TrainedRouter

PLAIN: Mapping[str, Callable[[], Router]] = {
    "length": LengthRouter,
    "random": RandomRouter,
    "constant": ConstantRouter,
}


def load_router(name_or_path: str) -> Router:
    """The router of that name, or the one in a directory. Raises ConfigError if it cannot be used."""
    if name_or_path in PLAIN:
        return PLAIN[name_or_path]()
    return load_trained(name_or_path)


def load_trained(name_or_path: str) -> TrainedRouter:
    """`default` or a directory. Raises ConfigError if it cannot be used."""
    if name_or_path == "default":
        return TrainedRouter.load(files("router_models").joinpath("default"))
    return TrainedRouter.load(Path(name_or_path))
