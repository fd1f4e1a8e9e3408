"""One model and one server for most tests, and one gateway before it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.house import NAME, SLOTS, WINDOW, House, opened
from tests.real.llama import Llama, running, write_model

OPTIONS = ("--alias", NAME, "--parallel", str(SLOTS), "--ctx-size", str(SLOTS * WINDOW))


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "tiny.gguf")


@pytest.fixture(scope="session")
def llama(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Llama]:
    with running(model, tmp_path_factory.mktemp("llama"), *OPTIONS) as server:
        yield server


@pytest.fixture(scope="session")
def house(llama: Llama, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with opened(tmp_path_factory.mktemp("house"), llama) as made:
        yield made
