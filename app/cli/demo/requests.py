"""The demo's requests: written by hand, no two alike, eight kinds, half of them Chinese."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """One chat request: `body` as it is sent, `headers` beside the usual ones, `kind` for the table."""

    kind: str
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def stream(self) -> bool:
        return bool(self.body.get("stream"))

    @property
    def text(self) -> str:
        """What the user said last."""
        said = [message["content"] for message in self.body["messages"] if message["role"] == "user"]
        return str(said[-1])


def load() -> tuple[Request, ...]:
    """In the order of the file: kind after kind."""
    lines = files("app.cli.demo").joinpath("requests.jsonl").read_text("utf-8").splitlines()
    return tuple(Request(**json.loads(line)) for line in lines)
