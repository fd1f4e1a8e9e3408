"""The small types of the config: what a duration, a name, an address and the name of a secret look like.

None of them ever repeats what was written: a value in the wrong place may be a secret.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?\Z")
_UNITS = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0}
_CURE = "write 500ms, 20s, 2m, 1h or plain seconds"


class Model(BaseModel):
    """Base of every section: unknown keys are errors, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


def parse_duration(value: object) -> float:
    """Seconds of `500ms`, `1.5s`, `2m`, `1h` or a plain number. Raises ValueError with the cure."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return float(value)
    found = _DURATION.match(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError(_CURE)
    return float(found[1]) * _UNITS[found[2]]


def _parse_keep_alive(value: object) -> float:
    return -1.0 if value in (-1, "-1") else parse_duration(value)


def show_duration(seconds: float) -> str:
    return f"{seconds:g}s" if seconds >= 0 else "-1"


def _check_env_name(name: str) -> str:
    if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", name):
        raise ValueError(
            "must be the NAME of an environment variable, in capitals (HF_TOKEN); never write the secret itself here"
        )
    return name


def _check_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise ValueError("a name is made of at most 64 letters, digits, '.', '_' and '-'")
    return name


def _check_model(model: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]{1,200}", model):
        raise ValueError("a model id is one word of at most 200 ASCII characters")
    return model


def _check_gguf(ref: str) -> str:
    if not re.fullmatch(r"(?:hf://[\w.-]+/[\w.-]+/|(?!hf://)).*[^/]\.gguf", ref, re.IGNORECASE):
        raise ValueError("must be the path of a file.gguf, or hf://owner/repo/file.gguf")
    return ref


def _check_base_url(url: str) -> str:
    """The root of the server: a trailing `/v1`, as OpenAI clients want it, is taken off."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        known = False
    if not known or re.search(r"[\s\x00-\x1f\\]", url):
        raise ValueError("must be an address like http://127.0.0.1:11434")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user or password; name the key's environment variable in api_key_env")
    if parts.query or parts.fragment:
        raise ValueError("must not hold a query or fragment")
    return url.rstrip("/").removesuffix("/v1").rstrip("/")


Duration = Annotated[
    float, BeforeValidator(parse_duration), PlainSerializer(show_duration, return_type=str, when_used="json")
]
Positive = Annotated[Duration, Field(gt=0)]
KeepAlive = Annotated[
    float, BeforeValidator(_parse_keep_alive), PlainSerializer(show_duration, return_type=str, when_used="json")
]
EnvName = Annotated[str, AfterValidator(_check_env_name)]
BaseUrl = Annotated[str, AfterValidator(_check_base_url)]
# Names become headers, metric labels and parts of variable names.
Name = Annotated[str, AfterValidator(_check_name)]
ModelId = Annotated[str, AfterValidator(_check_model)]
Gguf = Annotated[str, AfterValidator(_check_gguf)]
Money = Annotated[float, Field(ge=0)]


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def secret(environ: Mapping[str, str], name: str | None) -> str | None:
    """The value behind the name of a secret; None if there is no name, or nothing is set under it."""
    return (environ.get(name, "").strip() or None) if name else None
