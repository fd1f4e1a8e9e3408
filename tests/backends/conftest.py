"""The HTTP client is tested on the loop that serves, and on Python's own, which serves on Windows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """By name of the file: what has no sockets of its own needs one loop."""
    both = item.path.name.startswith(("test_http_client", "test_http_connection"))
    return {"asyncio": asyncio.new_event_loop} | ({"uvloop": uvloop.new_event_loop} if both else {})
