"""Configuration: one strict YAML file, overridden by SMALLFIRST_* variables, as one frozen value.

    Source(path, environ).load() -> Loaded(config, warnings)      raises ConfigError, one problem a line

It decides what a config may say (design: one file, unknown keys are errors, secrets only by the name of an
environment variable). It opens nothing but that file and never holds or prints a secret.
"""

from app.settings.backends import Backend, HfEndpoint, Ollama, Scripted, Startable
from app.settings.config import GatewayConfig
from app.settings.document import as_yaml
from app.settings.fields import secret
from app.settings.show import resolved
from app.settings.source import Loaded, Source

__all__ = [
    "Backend",
    "GatewayConfig",
    "HfEndpoint",
    "Loaded",
    "Ollama",
    "Scripted",
    "Source",
    "Startable",
    "as_yaml",
    "resolved",
    "secret",
]
