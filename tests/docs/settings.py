"""The words for a key of the config: its type and its default, read off the pydantic model."""

from __future__ import annotations

import datetime
import types
import typing
from typing import Any

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from app.settings import fields, prices, rules

# What the config's own types are called, by the function that checks them.
_CHECKED = {
    fields.parse_duration: "duration",
    fields._parse_keep_alive: "duration or -1",
    fields._check_env_name: "variable",
    fields._check_base_url: "URL",
    fields._check_name: "name",
    fields._check_model: "model id",
    fields._check_gguf: "GGUF",
    prices._check_awake: "`always` or hours",
    rules._check_header: "header",
}
_PLAIN = {str: "text", int: "integer", float: "number", bool: "true, false", datetime.date: "date"}
_BOUNDS = {Gt: ("gt", ">"), Ge: ("ge", ">="), Le: ("le", "<=")}


def type_of(field: FieldInfo) -> str:
    return _words(field.annotation, list(field.metadata))


def default_of(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if value is None:
        return "-"
    if isinstance(value, BaseModel):
        return "below"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{list(value)}`"
    if isinstance(value, int | float):
        timed = any(getattr(one, "func", None) is fields.parse_duration for one in _flat(field.metadata))
        return f"`{fields.show_duration(value) if timed else f'{value:g}'}`"
    return f"`{value}`"


def _words(kind: Any, metadata: list[Any]) -> str:
    """`metadata` is what pydantic has taken off the outside of the annotation."""
    kind, metadata = _opened(kind, metadata)
    base = next((_CHECKED[one.func] for one in metadata if getattr(one, "func", None) in _CHECKED), None)
    bounds = [
        f"{sign} {getattr(one, key):g}"
        for one in metadata
        for type_, (key, sign) in _BOUNDS.items()
        if type(one) is type_
    ]
    return " ".join([base or _plain(kind), ", ".join(bounds)]).strip()


def _plain(kind: Any) -> str:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return ", ".join(f"`{one}`" for one in inner)
    if origin is tuple:
        return f"list of {_words(inner[0], [])}"
    if origin is dict:
        return f"{_words(inner[0], [])}: {_words(inner[1], [])}"
    if origin is typing.Union or origin is types.UnionType:
        return " or ".join(dict.fromkeys(_words(one, []) for one in inner))
    return _PLAIN.get(kind, "section")


def _opened(kind: Any, metadata: list[Any]) -> tuple[Any, list[Any]]:
    """Without `Annotated` and `| None` around it; what they say is in the metadata."""
    while True:
        if typing.get_origin(kind) is typing.Annotated:
            kind, *more = typing.get_args(kind)
            metadata = _flat([*more, *metadata])
            continue
        members = [one for one in typing.get_args(kind) if one is not types.NoneType]
        if typing.get_origin(kind) in (typing.Union, types.UnionType) and len(members) == 1:
            kind = members[0]
            continue
        return kind, _flat(metadata)


def _flat(metadata: list[Any]) -> list[Any]:
    """With what stands in a `Field(...)` of an `Annotated`."""
    return [part for one in metadata for part in (one.metadata if isinstance(one, FieldInfo) else [one])]
