"""Schemathesis on our own OpenAPI document, against the real gateway: what it says is so, and nothing breaks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import positive_data_acceptance

from app.api.openapi import components, paths
from tests.fuzz.house import CLIENT_KEY, HOST, PATIENCE, UPSTREAM_KEY, House

DEADLINE = "x-smallfirst-deadline-ms"
EXAMPLES = 40  # of each operation, good ones and bad ones
DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "Smallfirst", "version": "0"},
    "paths": paths(),
    "components": components(),
}
OPTIONS = {"generation": {"allow-extra-parameters": False}}  # a header that nobody knows does no harm
HEADERS = {"authorization": f"Bearer {CLIENT_KEY}"}
GENTLY = settings(max_examples=EXAMPLES, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))

schema = schemathesis.openapi.from_dict(DOCUMENT, config=SchemathesisConfig.from_dict(OPTIONS))


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as one:
        one.trust_env = False
        yield one


@schema.parametrize()
@GENTLY
def test_the_document_is_true(case: Any, gateway_house: House, session: requests.Session) -> None:
    """Statuses, types, headers and bodies of answers are those it names; what it forbids is refused.

    What it allows may be refused too: a tier that is not there, or a need that no backend has.
    """
    base = f"http://{HOST}:{gateway_house.port}"
    wish = (case.headers or {}).get(DEADLINE)
    if str(wish).isdigit() and 0 < int(wish) < 60_000:  # as it wishes, it would be a 504
        case.headers[DEADLINE] = "60000"
    response = case.call_and_validate(
        base_url=base, session=session, headers=HEADERS, timeout=PATIENCE, excluded_checks=[positive_data_acceptance]
    )
    assert UPSTREAM_KEY not in response.text
    assert "Traceback" not in response.text


def test_it_is_the_document_that_is_served(home: House) -> None:
    """As whoever asks for it gets it."""
    served = json.loads(home.gateway.get("/openapi.json")[1])
    assert {name: served[name] for name in ("paths", "components")} == {
        name: DOCUMENT[name] for name in ("paths", "components")
    }
