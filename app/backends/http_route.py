"""From an address to the first bytes and the sockets that lead there: directly, or through a proxy."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, quote, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

_PORTS: Final = {"http": 80, "https": 443}
_PATH: Final = "/%:@!$&'()*+,;=~-._"  # what may stand in a path as it is


@dataclass(frozen=True, slots=True)
class Hop:
    """Where a connection leads: to the backend, or to a proxy."""

    host: str
    port: int
    tls: bool

    @property
    def authority(self) -> str:
        return f"{_bracketed(self.host)}:{self.port}"

    @property
    def certified(self) -> str | None:
        """The name that its certificate must hold: without the dot that ends an absolute one. None if it needs none."""
        return self.host.rstrip(".") if self.tls else None


@dataclass(frozen=True, slots=True)
class Way:
    """Connections of one way are interchangeable. If there is a `tunnel`, its proxy is asked to `connect`."""

    hop: Hop
    tunnel: Hop | None = None
    connect: bytes = b""


@dataclass(frozen=True, slots=True)
class Route:
    """`start` is the request line of a POST and the headers that belong to the address."""

    way: Way
    start: bytes


def direct(url: str) -> Route:
    """Raises ValueError for what is no HTTP address."""
    parts = urlsplit(url)
    backend = _hop(parts)
    return Route(Way(backend), _start(_target(parts), _host(backend)))


def through_proxy(url: str) -> Route:
    """By HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY. Raises ValueError for a proxy that does not speak HTTP."""
    parts, proxies = urlsplit(url), getproxies()
    backend = _hop(parts)
    named = proxies.get(parts.scheme) or proxies.get("all")
    if not named or proxy_bypass(f"{backend.host}:{backend.port}"):
        return direct(url)
    proxy = urlsplit(named if "://" in named else f"http://{named}")
    credentials = _credentials(proxy)
    if backend.tls:
        connect = f"CONNECT {backend.authority} HTTP/1.1\r\nhost: {backend.authority}\r\n{credentials}\r\n"
        return Route(Way(_hop(proxy), backend, connect.encode("latin-1")), _start(_target(parts), _host(backend)))
    start = _start(f"http://{_host(backend)}{_target(parts)}", _host(backend))
    return Route(Way(_hop(proxy)), start + credentials.encode("latin-1"))


def _hop(parts: SplitResult) -> Hop:
    host = parts.hostname
    if parts.scheme not in _PORTS or not host:
        raise ValueError("only HTTP addresses are supported")
    ascii_host = host if host.isascii() else host.encode("idna").decode()
    return Hop(ascii_host, parts.port or _PORTS[parts.scheme], parts.scheme == "https")


def _start(target: str, host: str) -> bytes:
    return f"POST {target} HTTP/1.1\r\nhost: {host}\r\n".encode("latin-1")


def _target(parts: SplitResult) -> str:
    path = quote(parts.path, safe=_PATH) or "/"
    return f"{path}?{quote(parts.query, safe=_PATH + '?')}" if parts.query else path


def _host(hop: Hop) -> str:
    """As it is written in a request: without the port that goes without saying."""
    return _bracketed(hop.host) if hop.port == _PORTS["https" if hop.tls else "http"] else hop.authority


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _credentials(proxy: SplitResult) -> str:
    if proxy.username is None:
        return ""
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return f"proxy-authorization: Basic {b64encode(pair.encode()).decode()}\r\n"
