"""What is wrong with a config, one line each: where (file, line, key or variable), what, and the cure.

Nothing here repeats a value: only keys, names of kinds, and what was expected.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from app.settings.backends import LlamaServer, Ollama, Start
from app.settings.config import ClientKey, GatewayConfig
from app.settings.document import Path
from app.settings.rules import WORD
from app.settings.shape import places

_SECRET = re.compile(r"(?:^|_)(?:key|token|secret|password|passwd|apikey|authorization|bearer)s?$", re.IGNORECASE)
_VAGUE_ENDS = {"Input should be": "must be", "Input should have": "must have", "Value error, ": ""}


@dataclass(frozen=True, slots=True)
class Problem:
    """`line` of the file, 0 where there is none."""

    path: Path
    text: str
    line: int = 0

    def __str__(self) -> str:
        return f"{dotted(self.path)}: {self.text}" if self.path else self.text


def dotted(path: Path) -> str:
    """`backends.ollama.model`, `tiers[0].name`."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")


def problems(error: ValidationError, values: dict[str, Any]) -> Iterator[Problem]:
    """What pydantic found, in our words."""
    for one in error.errors(include_url=False):
        if one["type"] == "too_short" and one["input"]:
            continue  # items are there, but wrong; that is told already
        path = _without_tags(one["loc"], values)
        yield _problem(one, path, values)


def suggestion(word: object, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""


def _problem(one: ErrorDetails, path: Path, values: dict[str, Any]) -> Problem:
    kind = one["type"]
    if kind == "extra_forbidden":
        return Problem(path, _unknown_key(path, values))
    if kind == "missing":
        what = _description(path[-1], path)
        return Problem(path, f"missing: {what}" if what else "missing")
    if kind == "union_tag_not_found":
        return Problem((*path, "kind"), f"missing: {_description(path[-1], path) or 'which kind of backend it is'}")
    if kind == "union_tag_invalid":
        expected = one["ctx"]["expected_tags"]
        hint = suggestion(one["ctx"]["tag"], re.findall(r"'([^']+)'", expected))
        return Problem((*path, "kind"), f"must be one of {expected}{hint}")
    if kind == "literal_error":
        hint = suggestion(one["input"], re.findall(r"'([^']+)'", one["ctx"]["expected"]))
        return Problem(path, f"must be {one['ctx']['expected']}{hint}")
    return Problem(path, _plain(one["msg"]))


def _unknown_key(path: Path, values: dict[str, Any]) -> str:
    key = str(path[-1])
    siblings = [str(place[-1]) for place in places(GatewayConfig, values) if place[:-1] == path[:-1]]
    named = next((name for name in siblings if name == "env" or name.endswith("_env")), None)
    if named and _SECRET.search(key):
        return (
            "a secret never stands in the config; put it into an environment variable "
            f"and write that variable's name as '{named}'"
        )
    return f"unknown key{suggestion(key, siblings)}"


def _description(key: object, path: Path) -> str | None:
    """What a missing key is for; a name means one thing in every section but where a server is started."""
    models = (LlamaServer,) if "llama_server" in path[:-1] else (GatewayConfig, ClientKey, Ollama, Start)
    fields = (model.model_fields.get(str(key)) for model in models)
    return next((field.description for field in fields if field and field.description), None)


def _plain(message: str) -> str:
    for vague, plain in _VAGUE_ENDS.items():
        message = message.replace(vague, plain)
    return message


def _without_tags(loc: tuple[int | str, ...], values: Any) -> Path:
    """pydantic's location without the union tags it puts in between: they are no keys of the document."""
    path: list[int | str] = []
    node = values
    for position, key in enumerate(loc):
        if _holds(node, key):
            node = node[key]
        elif position < len(loc) - 1 or _is_tag(node, key):
            continue
        path.append(key)
    return tuple(path)


def _holds(node: Any, key: int | str) -> bool:
    return (
        key in node if isinstance(node, dict) else isinstance(node, list) and isinstance(key, int) and key < len(node)
    )


def _is_tag(node: Any, key: int | str) -> bool:
    return key in ("[key]", WORD) or (isinstance(node, dict) and node.get("kind") == key)
