"""A config with all its defaults, as plain values for people and machines: secrets masked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.settings.config import GatewayConfig
from app.settings.fields import secret

SET, MISSING = "***set***", "***missing***"


def resolved(config: GatewayConfig, environ: Mapping[str, str]) -> dict[str, Any]:
    """JSON-ready. Beside each `*_env` stands whether the secret behind it is there, never the secret."""
    plain = config.model_dump(mode="json", exclude_none=True)
    plain["routing"]["default_tier"] = config.default_tier
    shown = _masked(plain, environ)
    assert isinstance(shown, dict)
    return shown


def _masked(value: Any, environ: Mapping[str, str]) -> Any:
    if isinstance(value, list):
        return [_masked(item, environ) for item in value]
    if not isinstance(value, dict):
        return value
    shown: dict[str, Any] = {}
    for key, item in value.items():
        shown[key] = _masked(item, environ)
        if key == "env" or key.endswith("_env"):
            shown[key.removesuffix("_env") if key != "env" else "key"] = SET if secret(environ, item) else MISSING
    return shown
