"""Reads a trained router from its artifact directory and checks it before it may decide anything.

`card.json` says which format and features the model was made for and the sha256 of `model.npz`; whatever does not
fit is a ConfigError at start, never a wrong score later. The arrays are read without pickle, so a file can hold
numbers only. Needs numpy alone.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from importlib.resources.abc import Traversable
from typing import Any

import numpy as np

from app.core.blend import FORMAT_VERSION, Blend
from app.core.chat import ChatRequest
from app.core.features import FEATURE_VERSION
from app.core.forest import Forest
from app.core.types import Score
from app.errors import ConfigError


class TrainedRouter:
    """Scores with a trained `Blend`; `version` is the date and the hash of its artifact."""

    name = "trained"

    def __init__(self, model: Blend, version: str) -> None:
        self.model = model
        self.version = version

    @classmethod
    def load(cls, directory: Traversable) -> TrainedRouter:
        """The router in `directory`. Raises ConfigError if a file is missing, broken or of another version."""
        card = _card(directory)
        data = _read(directory, "model.npz")
        digest = hashlib.sha256(data).hexdigest()
        if digest != card.get("sha256"):
            raise ConfigError(f"{directory}/model.npz does not have the sha256 its card.json states: copy both again.")
        return cls(_model(directory, data, card), f"{card.get('date')}-{digest[:8]}")

    def score(self, request: ChatRequest) -> Score:
        return self.model.judge(request.body)

    def threshold(self, llm_share: float) -> float:
        return self.model.threshold(llm_share)

    def explain(self, request: ChatRequest) -> list[tuple[str, float]]:
        return self.model.explain(request.body)


def _read(directory: Traversable, name: str) -> bytes:
    try:
        return directory.joinpath(name).read_bytes()
    except OSError as error:
        raise ConfigError(f"Cannot read {name} of the router in {directory}: {error.strerror}.") from error


def _card(directory: Traversable) -> dict[str, Any]:
    """card.json, made for this format and these features."""
    try:
        card = json.loads(_read(directory, "card.json"))
    except ValueError as error:
        raise ConfigError(f"{directory}/card.json is not JSON.") from error
    if not isinstance(card, dict):
        raise ConfigError(f"{directory}/card.json is not a JSON object.")
    for key, wanted in (("format_version", FORMAT_VERSION), ("feature_version", FEATURE_VERSION)):
        if card.get(key) != wanted:
            raise ConfigError(
                f"{directory}/card.json has {key} {card.get(key)!r}, this release reads {wanted}: train it again."
            )
    return card


def _model(directory: Traversable, data: bytes, card: dict[str, Any]) -> Blend:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        forest = {name.removeprefix("forest_"): found.pop(name) for name in list(found) if name.startswith("forest_")}
        return Blend(heads=tuple(card["heads"]), tasks=tuple(card["tasks"]), forest=Forest(**forest), **found)
    except (
        AttributeError,
        IndexError,
        KeyError,
        TypeError,
        ValueError,
        OSError,
        EOFError,
        zipfile.BadZipFile,
    ) as error:
        raise ConfigError(f"{directory}/model.npz is not a trained router: {error}") from error
