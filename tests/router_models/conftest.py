"""Models that several tests look at, each fitted once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from threadpoolctl import threadpool_limits

from router_models import artifact
from router_models.data import Choice, read
from router_models.fit import Fit, fit
from router_models.train import train_router
from tests.router_models import examples

DAY = "2026-01-02"


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other on a busy machine make these tests many times slower."""
    with threadpool_limits(1):
        yield


@dataclass(frozen=True)
class Trained:
    """What `train_router` made of the small data set, without everyday requests: `out` and the card."""

    data: Path
    out: Path
    card: dict[str, Any]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    data = examples.write(tmp_path_factory.mktemp("data"))
    out = data / "out"
    rows = read([data], Choice(ships=True))
    card = train_router(rows, out, DAY, examples.silent, everyday=False, outside=frozenset({"tiny_zh"}))
    return Trained(data, out, card)


@dataclass(frozen=True)
class Mixed:
    """A fit on three made-up benchmarks and some of our own requests, and where its artifact is."""

    fit: Fit
    out: Path


@pytest.fixture(scope="session")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Mixed:
    made = [*examples.rows("exam", 220, 40), *examples.rows("law", 200, 20), *examples.rows("rare", 30)]
    result = fit([*made, *examples.everyday()], examples.silent)
    out = tmp_path_factory.mktemp("mixed")
    artifact.write(out, result.model, {"date": DAY}, "# made\n")
    return Mixed(result, out)
