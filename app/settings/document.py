"""One YAML text as plain values, plus the line of each key and every key that is written twice.

Values are read as YAML 1.2 reads them: `on`, `off`, `yes` and `no` are words, dates stay text. Errors give
line and column but never a piece of the text, which may be a secret.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from app.errors import ConfigError

Path = tuple[str | int, ...]

_OTHERWISE = ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
_QUOTED = re.compile(r"(['\"]).{2,}?\1")


class _Loader(yaml.SafeLoader):
    """`reasoning: off` is the word off, not false."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in known if tag not in _OTHERWISE]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), "tTfF")


class _Dumper(yaml.SafeDumper):
    """No anchors: what is equal by chance is written out again."""

    def ignore_aliases(self, data: object) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Document:
    """`lines` counts from 1. `duplicates` are the paths of keys written again, with the last line."""

    values: dict[str, Any]
    lines: dict[Path, int] = field(default_factory=dict)
    duplicates: tuple[tuple[Path, int], ...] = ()

    def line(self, path: Path) -> int:
        """Of the key, or of the nearest one above it that is written in the text; 0 if none is."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)


def read(text: str) -> Document:
    """Raises ConfigError when the text is not YAML or no mapping."""
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        values = {} if root is None else loader.construct_document(root)
        found = list(_keys(root, (), set()))
    except yaml.MarkedYAMLError as error:
        raise ConfigError(_located(error)) from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ConfigError("not valid YAML") from None
    if not isinstance(values, dict):
        raise ConfigError("must be a mapping of sections: backends, tiers, ...")
    lines = dict(reversed(found))
    counted = Counter(path for path, _ in found)
    twice = {path: line for path, line in found if counted[path] > 1}
    return Document(values, lines, tuple(twice.items()))


def scalar(text: str) -> Any:
    """An environment variable's value: a list or mapping where it is spelled as one, else the text as it is."""
    if text[:1] not in ("{", "["):
        return text
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return text


def as_yaml(values: dict[str, Any]) -> str:
    """Plain values as a YAML text, in their order."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False)


def _located(error: yaml.MarkedYAMLError) -> str:
    what = _QUOTED.sub("...", error.problem or "something is wrong")
    mark = error.problem_mark
    return f"not valid YAML: {what}" + (f" (line {mark.line + 1}, column {mark.column + 1})" if mark else "")


def _keys(node: yaml.Node | None, path: Path, seen: set[int]) -> Iterator[tuple[Path, int]]:
    """(path, line) of every key, in the order of the text; an anchor that holds itself is walked once."""
    if id(node) in seen:
        return
    seen = seen | {id(node)}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, str(key.value))
            if key.tag != "tag:yaml.org,2002:merge":
                yield here, key.start_mark.line + 1
            yield from _keys(value, here, seen)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield (*path, index), item.start_mark.line + 1
            yield from _keys(item, (*path, index), seen)
