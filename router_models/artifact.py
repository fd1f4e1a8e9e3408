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

from app.core.blend import FORMAT_VERSION, Blend
from app.core.features import FEATURE_VERSION

EPOCH = (1980, 1, 1, 0, 0, 0)  # the first date a zip can state
ARRAYS = (
    "bias",
    "counter_weights",
    "counter_means",
    "word_weights",
    "word_steps",
    "set_tasks",
    "set_weights",
    "task_bias",
    "head_weights",
    "quantiles",
)
FOREST = ("counters", "thresholds", "leaves", "starts", "bases")


def write(directory: Path, model: Blend, card: Mapping[str, Any], readme: str) -> None:
    """Write the three files; `card` is completed by what a reader must check before it believes the model."""
    data = model_bytes(model)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "model.npz").write_bytes(data)
    complete = {
        **card,
        "format_version": FORMAT_VERSION,
        "feature_version": FEATURE_VERSION,
        "heads": list(model.heads),
        "tasks": list(model.tasks),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    text = json.dumps(complete, indent=1, ensure_ascii=False, sort_keys=True)
    (directory / "card.json").write_text(text + "\n", encoding="utf-8")
    (directory / "README.md").write_text(readme, encoding="utf-8")


def model_bytes(model: Blend) -> bytes:
    """The model's arrays as npz."""
    arrays = {name: getattr(model, name) for name in ARRAYS}
    arrays |= {f"forest_{name}": getattr(model.forest, name) for name in FOREST}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", EPOCH)
            member.external_attr = 0o644 << 16
            file.writestr(member, _npy(array), zipfile.ZIP_DEFLATED, 9)
    return archive.getvalue()


def _npy(array: NDArray[Any]) -> bytes:
    content = io.BytesIO()
    np.lib.format.write_array(content, np.ascontiguousarray(array), allow_pickle=False)
    return content.getvalue()
