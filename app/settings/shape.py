"""Which keys may stand where: read off the pydantic models, for suggestions and for environment variables."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from app.settings.document import Path


def places(kind: Any, node: object, path: Path = ()) -> Iterator[Path]:
    """The path of every key that may stand in a document that begins like `node`, of type `kind`.

    Keys of mappings and items of lists count as far as `node` has them; of a union only the member whose
    `kind` is written there, or all of them where none is.
    """
    for option in _options(kind):
        origin, inner = typing.get_origin(option), typing.get_args(option)
        if origin is dict and isinstance(node, dict):
            yield from _below(((key, inner[1]) for key in node), node, path)
        elif origin is tuple and isinstance(node, list):
            yield from _below(((index, inner[0]) for index in range(len(node))), node, path)
        elif isinstance(option, type) and issubclass(option, BaseModel) and _is_meant(option, node):
            yield from _below(((name, one.annotation) for name, one in option.model_fields.items()), node, path)


def _below(children: Iterator[tuple[Any, Any]], node: Any, path: Path) -> Iterator[Path]:
    for key, kind in children:
        yield (*path, key)
        yield from places(kind, _child(node, key), (*path, key))


def _child(node: Any, key: Any) -> Any:
    if isinstance(node, dict):
        return node.get(key)
    return node[key] if isinstance(node, list) and isinstance(key, int) else None


def _options(kind: Any) -> Iterator[Any]:
    """The members of a union, through Annotated and Optional."""
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        yield from _options(typing.get_args(kind)[0])
    elif origin is typing.Union or origin is types.UnionType:
        for member in typing.get_args(kind):
            yield from _options(member)
    else:
        yield kind


def _is_meant(model: type[BaseModel], node: object) -> bool:
    tag = model.model_fields.get("kind")
    if tag is None or not isinstance(node, dict) or "kind" not in node:
        return True
    return node["kind"] in typing.get_args(tag.annotation)
