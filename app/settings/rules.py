"""The rules of the config: what must hold, and what then follows; checked here, compiled for the core."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from app.core import rules
from app.core.patterns import PATTERNS, PatternName
from app.settings.fields import Model, Name
from app.settings.regexes import check_regex

WORD, REGEX = "a word", "a regex"  # the two spellings, as pydantic puts them into the place of an error
_SECRET = frozenset({"authorization", "proxy-authorization", "x-api-key", "cookie"})


class Regex(Model):
    """Of Python's kind; `(?i)` at its beginning ignores case."""

    regex: Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(check_regex)]

    @property
    def compiled(self) -> re.Pattern[str]:
        return re.compile(self.regex)


def _spelling(value: object) -> str:
    return REGEX if isinstance(value, dict | Regex) else WORD


def _check_header(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}", name):
        raise ValueError("not the name of a header")
    if name.lower() in _SECRET:
        raise ValueError("holds a secret; name the client under 'key' instead")
    return name.lower()


_Regex = Annotated[Regex, Tag(REGEX)]
Content = Annotated[Annotated[PatternName, Tag(WORD)] | _Regex, Discriminator(_spelling)]
HeaderValue = Annotated[Annotated[str, Tag(WORD)] | _Regex, Discriminator(_spelling)]
HeaderName = Annotated[str, AfterValidator(_check_header)]
Glob = Annotated[str, Field(min_length=1, max_length=200)]


class When(Model):
    """All that is written must hold: one of `key`, one of `model`, one of `content`, and every `header`."""

    key: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    header: Annotated[dict[HeaderName, HeaderValue], Field(min_length=1)] | None = None
    model: Annotated[tuple[Glob, ...], Field(min_length=1)] | None = None
    content: Annotated[tuple[Content, ...], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> When:
        if all(one is None for one in (self.key, self.header, self.model, self.content)):
            raise ValueError("name at least one of key, header, model and content")
        return self


class Then(Model):
    tier: Name | None = None
    local_only: bool = False

    @model_validator(mode="after")
    def _says_something(self) -> Then:
        if self.tier is None and not self.local_only:
            raise ValueError("write a tier, or local_only: true, or both")
        return self


class Rule(Model):
    name: Name
    when: When
    then: Then

    def to_core(self) -> rules.Rule:
        when, content = self.when, self.when.content or ()
        return rules.Rule(
            name=self.name,
            keys=frozenset(when.key or ()),
            headers=tuple((name, _value(wanted)) for name, wanted in (when.header or {}).items()),
            models=tuple(map(rules.glob, when.model or ())),
            patterns=tuple(PATTERNS[one] for one in content if not isinstance(one, Regex)),
            regexes=tuple(one.compiled for one in content if isinstance(one, Regex)),
            tier=self.then.tier,
            local_only=self.then.local_only,
        )


def _value(wanted: str | Regex) -> re.Pattern[str]:
    return wanted.compiled if isinstance(wanted, Regex) else re.compile(re.escape(wanted))
