"""Where a config comes from, and the way from text to a checked value: everything wrong is told at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from app.errors import ConfigError
from app.settings.checks import cross_checks
from app.settings.config import GatewayConfig
from app.settings.document import Document, read
from app.settings.fields import secret
from app.settings.overrides import Overridden, override
from app.settings.problems import Problem, problems


@dataclass(frozen=True, slots=True)
class Loaded:
    config: GatewayConfig
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """A file, or without one the built-in `text`; and the environment that overrides it."""

    path: Path | None
    environ: Mapping[str, str] = field(repr=False)
    text: str = ""

    @property
    def name(self) -> str:
        return str(self.path) if self.path else "built-in config"

    def load(self) -> Loaded:
        """Raises ConfigError, one problem a line."""
        try:
            document = read(self._content().decode("utf-8-sig"))
        except UnicodeDecodeError:
            raise ConfigError(f"{self.name}: not UTF-8 text") from None
        except ConfigError as error:
            raise ConfigError(f"{self.name}: {error}") from None
        given = override(document.values, self.environ)
        config, found = _checked(given.values)
        if config is None or found or document.duplicates:
            raise ConfigError("\n".join(self._lines(document, given, found)))
        return Loaded(config, tuple(_warnings(config, given, self.environ)))

    def fingerprint(self) -> bytes:
        """Changes when the content does; empty while the file cannot be read."""
        try:
            return hashlib.sha256(self._content()).digest()
        except ConfigError:
            return b""

    def _content(self) -> bytes:
        if self.path is None:
            return self.text.encode()
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise ConfigError(f"cannot be read: {error.strerror or 'no such file'}") from None

    def _lines(self, document: Document, given: Overridden, found: Iterable[Problem]) -> Iterator[str]:
        twice = [Problem(path, "this key is written twice", line) for path, line in document.duplicates]
        placed = [replace(one, line=document.line(one.path)) for one in found]
        for problem in sorted([*twice, *placed], key=lambda one: one.line):
            origin = given.origins.get(problem.path)
            yield f"{origin or (f'{self.name}:{problem.line}' if problem.line else self.name)}: {problem}"


def _checked(values: dict[str, Any]) -> tuple[GatewayConfig | None, list[Problem]]:
    try:
        config = GatewayConfig.model_validate(values)
    except ValidationError as error:
        return None, list(problems(error, values))
    return config, list(cross_checks(config))


def _warnings(config: GatewayConfig, given: Overridden, environ: Mapping[str, str]) -> Iterator[str]:
    yield from _missing_secrets(config, environ)
    named = {variable for _, variable in config.secret_names()}
    for name, near in given.unknown.items():
        if name not in named:
            yield f"{name}: no such setting, ignored" + (f"; did you mean {near}?" if near else "")
    if any(key.weight != 1 for key in config.keys):
        yield "keys: weight has no effect yet, the queue is first in, first out"
    used = set(config.tier_of()) | ({config.embeddings.backend} if config.embeddings else set())
    for name in config.backends:
        if name not in used:
            yield f"backends.{name}: in no tier and not used for embeddings, so nothing reaches it"


def _missing_secrets(config: GatewayConfig, environ: Mapping[str, str]) -> Iterator[str]:
    for where, variable in config.secret_names():
        if secret(environ, variable) is None:
            effect = {
                "backends": "this backend starts down",
                "keys": "nobody can use this key",
                "server": "nobody can use the admin key",
            }[where.split(".")[0].split("[")[0]]
            yield f"{where}: the variable {variable} is not set; {effect}"
