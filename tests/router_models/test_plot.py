"""The cost-quality curve as a picture."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from app.errors import ConfigError
from router_models.evaluate import Rows, measurable
from router_models.plot import draw
from tests.router_models import examples


def rows(*gains: float) -> Rows:
    made = [examples.row(f"why {n}", gain=gains[n % len(gains)], source="ab"[n % 2]) for n in range(60)]
    return measurable(made, frozenset({"b"}))


def test_a_picture_comes_out(tmp_path: Path) -> None:
    """A PNG of the size that was drawn, whatever the file's name ends with, with something on it."""
    path = tmp_path / "curve.picture"
    scores = np.linspace(0.0, 1.0, 60)
    draw(path, "mine", {"mine": scores, "theirs": scores[::-1]}, rows(0.0, 1.0, 1.0, 0.0, -1.0))
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert data.endswith(b"IEND\xaeB`\x82")
    assert struct.unpack(">II", data[16:24]) == (1320, 600)
    assert len(data) > 20_000


def test_a_router_may_have_a_baselines_name(tmp_path: Path) -> None:
    """`length` is then the router, and is drawn as the one in question."""
    draw(tmp_path / "p.png", "length", {"length": np.linspace(0.0, 1.0, 60)}, rows(0.0, 1.0, 1.0))
    assert (tmp_path / "p.png").stat().st_size > 20_000


def test_without_a_gap_there_is_no_curve(tmp_path: Path) -> None:
    """Where the large model is no better, an error says so instead of an empty picture."""
    with pytest.raises(ConfigError, match="no better"):
        draw(tmp_path / "p.png", "mine", {"mine": np.zeros(60)}, rows(0.0, -1.0, 1.0))
    assert not (tmp_path / "p.png").exists()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(ConfigError, match=r"nowhere.p\.png"):
        draw(tmp_path / "nowhere" / "p.png", "mine", {"mine": np.zeros(60)}, rows(0.0, 1.0, 1.0))
