"""Client keys: Bearer or x-api-key, compared in constant time, never kept or shown in clear."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from app.errors import Unauthenticated

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Key:
    """One client key by its SHA-256; what its holder may do."""

    name: str
    digest: bytes
    local_only: bool = False
    may_force_tier: bool = True


def digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


class Keyring:
    """`required` False: whoever reaches us may ask (loopback, or `auth: none`)."""

    __slots__ = ("_admin", "_keys", "required")

    def __init__(self, keys: tuple[Key, ...], *, required: bool, admin: bytes | None = None) -> None:
        self._keys = keys
        self._admin = admin
        self.required = required

    def find(self, headers: Mapping[bytes, bytes]) -> Key | None:
        """The caller's key, None where none is required. Raises Unauthenticated."""
        if not self.required:
            return None
        presented = _presented(headers)
        if presented is None:
            raise Unauthenticated("No API key. Send 'Authorization: Bearer KEY' or 'x-api-key: KEY'.")
        shown = hashlib.sha256(presented).digest()
        found = None
        for key in self._keys:  # always all of them, so that time does not tell which one was near
            if hmac.compare_digest(key.digest, shown):
                found = key
        if found is None:
            raise Unauthenticated("The API key is not known here.")
        return found

    def is_admin(self, headers: Mapping[bytes, bytes]) -> bool:
        presented = _presented(headers)
        if presented is None or self._admin is None:
            return False
        return hmac.compare_digest(self._admin, hashlib.sha256(presented).digest())


def is_loopback_host(headers: Mapping[bytes, bytes]) -> bool:
    """Does the Host header name this machine? A web page that rebinds its own name to us cannot claim that."""
    host = headers.get(b"host", b"").decode("latin-1").strip().lower()
    name = (
        host[1 : host.find("]")] if host.startswith("[") else host.rsplit(":", 1)[0] if host.count(":") == 1 else host
    )
    return name in LOOPBACK_NAMES


def _presented(headers: Mapping[bytes, bytes]) -> bytes | None:
    authorization = headers.get(b"authorization", b"")
    if authorization[:7].lower() == b"bearer ":
        return authorization[7:].strip()
    return headers.get(b"x-api-key")
