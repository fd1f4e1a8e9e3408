"""Client keys and loopback names."""

from __future__ import annotations

import pytest

from app.api.auth import Key, Keyring, digest, is_loopback_host
from app.errors import Unauthenticated

APP = Key("app", digest("sk-app"))
OTHER = Key("other", digest("sk-other"), local_only=True, may_force_tier=False)
RING = Keyring((APP, OTHER), required=True, admin=digest("sk-admin"))


@pytest.mark.parametrize(
    "headers",
    [
        {b"authorization": b"Bearer sk-other"},
        {b"authorization": b"bearer sk-other"},
        {b"authorization": b"BEARER   sk-other "},
        {b"x-api-key": b"sk-other"},
        {b"authorization": b"Basic Zm9v", b"x-api-key": b"sk-other"},
    ],
    ids=["bearer", "lower", "spaces", "x-api-key", "beside basic"],
)
def test_known_key(headers: dict[bytes, bytes]) -> None:
    """A key is found in either header, wherever it stands in the ring."""
    assert RING.find(headers) is OTHER


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"authorization": b""},
        {b"authorization": b"Bearer"},
        {b"authorization": b"Bearer "},
        {b"authorization": b"Bearer sk-ap"},
        {b"authorization": b"Bearer sk-appp"},
        {b"authorization": b"sk-app"},
        {b"authorization": b"Bearer \xff\xfe"},
        {b"authorization": b"Bearer sk-admin"},
        {b"x-api-key": b""},
        {b"x-api-key": APP.digest.hex().encode()},
    ],
)
def test_unknown_key(headers: dict[bytes, bytes]) -> None:
    """Everything else is refused, without repeating what was sent."""
    with pytest.raises(Unauthenticated) as refused:
        RING.find(headers)
    assert "sk-" not in refused.value.message


def test_no_key_wanted() -> None:
    """Where none is required, none is looked at."""
    assert Keyring((), required=False).find({b"authorization": b"Bearer ollama"}) is None


def test_all_keys_are_compared() -> None:
    """The search does not stop at the first match, so time tells nothing; of equal keys the last one counts."""
    first, last = Key("first", digest("same")), Key("last", digest("same"))
    assert Keyring((first, APP, last), required=True).find({b"x-api-key": b"same"}) is last


def test_admin() -> None:
    """Only the admin key is an admin's; without one nobody is."""
    assert RING.is_admin({b"authorization": b"Bearer sk-admin"})
    assert not RING.is_admin({b"authorization": b"Bearer sk-app"})
    assert not RING.is_admin({})
    assert not Keyring((APP,), required=True).is_admin({b"x-api-key": b"sk-app"})
    assert not Keyring((), required=False).is_admin({b"x-api-key": b""})


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8080", "LOCALHOST:80", "127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:8080", "::1"]
)
def test_loopback_names(host: str) -> None:
    """This machine by its usual names, with and without a port."""
    assert is_loopback_host({b"host": host.encode()})


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "localhost.evil.example", "evil.example:8080", "127.0.0.1.nip.io", "[::2]:80", "[::1", "\xff"],
)
def test_other_names(host: str) -> None:
    """A page that rebinds its own name to this machine cannot claim one of those."""
    assert not is_loopback_host({b"host": host.encode("latin-1")})


def test_no_host() -> None:
    """No Host header names nothing."""
    assert not is_loopback_host({})
