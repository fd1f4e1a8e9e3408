"""One gateway for the whole folder: what one test leaves behind, the next one meets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fuzz.house import House, house


@pytest.fixture(scope="package")
def gateway_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("fuzz")) as one:
        yield one


@pytest.fixture
def home(gateway_house: House) -> Iterator[House]:
    """The gateway; it must be in good order afterwards."""
    gateway_house.small.heal()
    gateway_house.large.heal()
    since = gateway_house.gateway.log.stat().st_size
    yield gateway_house
    gateway_house.check(since)
