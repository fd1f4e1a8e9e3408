"""Writes a router artifact: `model.npz`, `card.json` and `README.md` in one directory.

The same model gives the same bytes: a plain npz, but with the zip's timestamps fixed. No pickle, nothing that runs.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.core.linear import LinearModel

EPOCH = (1980, 1, 1, 0, 0, 0)  # the first date a zip can state


def write(directory: Path, model: LinearModel, card: Mapping[str, Any], readme: str) -> None:
    """Write the three files; `card` is completed by the sha256 of the model."""
    data = model_bytes(model)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "model.npz").write_bytes(data)
    complete = {**card, "sha256": hashlib.sha256(data).hexdigest()}
    text = json.dumps(complete, indent=1, ensure_ascii=False, sort_keys=True)
    (directory / "card.json").write_text(text + "\n", encoding="utf-8")
    (directory / "README.md").write_text(readme, encoding="utf-8")


def model_bytes(model: LinearModel) -> bytes:
    """The model as npz, float32."""
    arrays: dict[str, NDArray[np.float32]] = {
        "bias": np.array(model.bias, np.float32),
        "counter_weights": np.array(model.counter_weights, np.float32),
        "counter_means": np.array(model.counter_means, np.float32),
        "word_weights": model.word_weights,
        "quantiles": model.quantiles,
    }
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", EPOCH)
            member.external_attr = 0o644 << 16
            file.writestr(member, _npy(array), zipfile.ZIP_DEFLATED, 9)
    return archive.getvalue()


def _npy(array: NDArray[np.float32]) -> bytes:
    content = io.BytesIO()
    np.lib.format.write_array(content, array, allow_pickle=False)
    return content.getvalue()
