"""Request lines, Host headers and ways of addresses; what a proxy makes of them is tested over sockets."""

from __future__ import annotations

import pytest

from app.backends.http_route import Hop, direct

ADDRESSES = [
    (
        "http://127.0.0.1:11434/v1/x",
        Hop("127.0.0.1", 11434, False),
        b"POST /v1/x HTTP/1.1\r\nhost: 127.0.0.1:11434\r\n",
    ),
    ("http://box/", Hop("box", 80, False), b"POST / HTTP/1.1\r\nhost: box\r\n"),
    ("http://box", Hop("box", 80, False), b"POST / HTTP/1.1\r\nhost: box\r\n"),
    ("https://box:443/a", Hop("box", 443, True), b"POST /a HTTP/1.1\r\nhost: box\r\n"),
    ("https://box:80/a", Hop("box", 80, True), b"POST /a HTTP/1.1\r\nhost: box:80\r\n"),
    ("http://[::1]:8000/a", Hop("::1", 8000, False), b"POST /a HTTP/1.1\r\nhost: [::1]:8000\r\n"),
    ("http://[::1]/a", Hop("::1", 80, False), b"POST /a HTTP/1.1\r\nhost: [::1]\r\n"),
    (
        "http://box/a%2Fb c/你?x=1&y=/",
        Hop("box", 80, False),
        b"POST /a%2Fb%20c/%E4%BD%A0?x=1&y=/ HTTP/1.1\r\nhost: box\r\n",
    ),
    (
        "http://bücher.example/",
        Hop("xn--bcher-kva.example", 80, False),
        b"POST / HTTP/1.1\r\nhost: xn--bcher-kva.example\r\n",
    ),
    ("http://user:pass@box/", Hop("box", 80, False), b"POST / HTTP/1.1\r\nhost: box\r\n"),
]


@pytest.mark.parametrize(("url", "hop", "start"), ADDRESSES, ids=[url for url, _, _ in ADDRESSES])
def test_an_address(url: str, hop: Hop, start: bytes) -> None:
    """What is sent first, and where to."""
    route = direct(url)
    assert (route.way.hop, route.way.tunnel, route.start) == (hop, None, start)


@pytest.mark.parametrize("url", ["ftp://box/", "box/v1", "http:///v1", "http://box:99999/", "http://[x/", ""])
def test_no_address(url: str) -> None:
    """Never a crash of another kind."""
    with pytest.raises(ValueError, match=r"."):
        direct(url)
