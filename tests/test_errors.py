"""The tree of errors: what its table in the docstring says, by the classes themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from app import errors
from app.errors import ClientFault, GatewayError, OurFault, UpstreamFault


def leaves(error: type[GatewayError]) -> Iterator[type[GatewayError]]:
    narrower = error.__subclasses__()
    yield from [leaf for one in narrower for leaf in leaves(one)] if narrower else [error]


LEAVES = list(leaves(GatewayError))


def test_kinds_are_distinct_words() -> None:
    """Each kind names one error, in the spelling of a label value."""
    kinds = [error.kind for error in LEAVES]
    assert len(kinds) == len(set(kinds))
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", kind) for kind in kinds)


@pytest.mark.parametrize("error", LEAVES, ids=lambda error: error.__name__)
def test_the_docstring_tells_the_status(error: type[GatewayError]) -> None:
    """The table that people read names every error, with its status where it is fixed."""
    row = re.search(rf"\+-- {error.__name__} +(\d{{3}})?", errors.__doc__ or "")
    assert row is not None
    assert row[1] in (None, str(error.status))


@pytest.mark.parametrize("error", LEAVES, ids=lambda error: error.__name__)
def test_whose_fault_it_is_shows_in_the_status(error: type[GatewayError]) -> None:
    """A client's fault is a 4xx, ours a 5xx, and each has a type and code for the envelope."""
    assert issubclass(error, ClientFault | UpstreamFault | OurFault)
    assert not issubclass(error, ClientFault) or 400 <= error.status < 500
    assert not issubclass(error, OurFault) or error.status >= 500
    assert error.type
    assert error.code


def test_only_a_rejection_is_final() -> None:
    """Every other failure of a backend leaves hope for the next one."""
    finals = [error.kind for error in LEAVES if issubclass(error, UpstreamFault) and error.final]
    assert finals == ["rejected"]


def test_an_instance_may_say_more_than_its_class() -> None:
    """Param, code, status and the time to wait are told per case; the class keeps its own."""
    error = errors.UpstreamRejected("No such field.", param="seed", code="bad", status=422, retry_after=1.5)
    assert (str(error), error.message, error.param, error.code) == ("No such field.", "No such field.", "seed", "bad")
    assert (error.status, error.retry_after) == (422, 1.5)
    plain = errors.UpstreamRejected("No.")
    assert (plain.param, plain.code, plain.status, plain.retry_after) == (None, "invalid_request", 400, None)
