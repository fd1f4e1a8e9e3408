"""The three files of a router: complete, without anything that runs, and the same bytes for the same model."""

from __future__ import annotations

import hashlib
import io
import json
import pickletools
import zipfile
from pathlib import Path

import numpy as np
import pytest

from app.core.blend import FORMAT_VERSION
from app.core.features import FEATURE_VERSION
from app.routers import load_trained
from router_models import artifact
from tests.router_models.conftest import Mixed


def test_what_is_written_can_be_loaded(mixed: Mixed, tmp_path: Path) -> None:
    """A folder that is not there yet is made; every array comes back as it was."""
    artifact.write(tmp_path / "new" / "router", mixed.fit.model, {"date": "2026-01-02"}, "# page\n")
    loaded = load_trained(str(tmp_path / "new" / "router")).model
    for name in artifact.ARRAYS:
        assert np.array_equal(getattr(loaded, name), getattr(mixed.fit.model, name)), name
    for name in artifact.FOREST:
        assert np.array_equal(getattr(loaded.forest, name), getattr(mixed.fit.model.forest, name)), name
    assert (loaded.heads, loaded.tasks) == (mixed.fit.model.heads, mixed.fit.model.tasks)
    assert sorted(path.name for path in (tmp_path / "new" / "router").iterdir()) == [
        "README.md",
        "card.json",
        "model.npz",
    ]


def test_the_card_says_what_a_reader_must_check(mixed: Mixed) -> None:
    """Versions of format and features, heads, tasks, and the model's hash."""
    card = json.loads((mixed.out / "card.json").read_text("utf-8"))
    assert card["format_version"] == FORMAT_VERSION
    assert card["feature_version"] == FEATURE_VERSION
    assert card["sha256"] == hashlib.sha256((mixed.out / "model.npz").read_bytes()).hexdigest()
    assert tuple(card["tasks"]) == mixed.fit.model.tasks


def test_the_same_model_gives_the_same_bytes(mixed: Mixed) -> None:
    """Whatever the clock says: the zip states the first date it can."""
    assert artifact.model_bytes(mixed.fit.model) == artifact.model_bytes(mixed.fit.model)
    with zipfile.ZipFile(io.BytesIO(artifact.model_bytes(mixed.fit.model))) as archive:
        assert {member.date_time for member in archive.infolist()} == {artifact.EPOCH}


def test_nothing_in_it_runs(mixed: Mixed) -> None:
    """Plain arrays of numbers, readable without pickle; no member of the zip is one."""
    data = (mixed.out / "model.npz").read_bytes()
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        assert set(arrays.files) == {*artifact.ARRAYS, *(f"forest_{name}" for name in artifact.FOREST)}
        assert {arrays[name].dtype.kind for name in arrays.files} <= set("iuf")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            content = archive.read(name)
            assert content.startswith(b"\x93NUMPY")
            with pytest.raises(ValueError, match=r"."):
                pickletools.dis(content, out=io.StringIO())
