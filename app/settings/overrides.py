"""Environment variables over the file: SMALLFIRST_SECTION__KEY replaces one key, a mapping is merged.

Names match whatever their case; `-` and `.` in names are `_` in the variable. A variable that matches nothing
is not applied and told to the operator: it is more often a typing mistake than meant for somebody else.
"""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.settings.config import GatewayConfig
from app.settings.document import Path, scalar
from app.settings.shape import places

PREFIX = "SMALLFIRST_"


@dataclass(frozen=True, slots=True)
class Overridden:
    """`origins`: which variable set what; `unknown`: variable -> its likely spelling, or None."""

    values: dict[str, Any]
    origins: dict[Path, str]
    unknown: dict[str, str | None]


def override(values: dict[str, Any], environ: Mapping[str, str]) -> Overridden:
    given = sorted(name for name in environ if name.upper().startswith(PREFIX))
    if not given:
        return Overridden(values, {}, {})
    known = {variable(path): path for path in places(GatewayConfig, values)}
    result = Overridden(copy.deepcopy(values), {}, {})
    for name in given:
        path = known.get(name.upper())
        if path is None:
            result.unknown[name] = _nearest(name, known)
        else:
            _put(result.values, path, scalar(environ[name]))
            result.origins[path] = name
    return result


def variable(path: Path) -> str:
    return PREFIX + "__".join(re.sub(r"[-.]", "_", str(key)).upper() for key in path)


def _nearest(name: str, known: Mapping[str, Path]) -> str | None:
    close = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.8)
    return close[0] if close else None


def _put(node: Any, path: Path, value: Any) -> None:
    key, *below = path
    old = node.get(key) if isinstance(node, dict) else node[key]
    if not below:
        node[key] = _merged(old, value)
        return
    if not isinstance(old, dict | list):
        node[key] = {}
    _put(node[key], tuple(below), value)


def _merged(old: Any, new: Any) -> Any:
    """Mappings key by key, unless the new one is of another kind; everything else is replaced."""
    if not (isinstance(old, dict) and isinstance(new, dict)) or new.get("kind", old.get("kind")) != old.get("kind"):
        return new
    return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}
