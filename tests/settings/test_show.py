from __future__ import annotations

import json

from app.settings import Source, as_yaml, resolved
from tests.settings.configs import TWO, load

TEXT = TWO.replace("model: big", "model: big, api_key_env: BIG_KEY") + "keys: [{name: app, env: APP_KEY}]"


def test_secrets_are_masked() -> None:
    """Whether they are there is shown, what they are is not."""
    environ = {"BIG_KEY": "sk-big"}
    shown = resolved(load(TEXT, environ).config, environ)
    assert shown["backends"]["large"]["api_key"] == "***set***"
    assert shown["keys"][0]["key"] == "***missing***"
    assert "sk-big" not in json.dumps(shown)


def test_defaults_are_shown() -> None:
    """Durations as one writes them, the default tier by its name."""
    shown = resolved(load(TEXT).config, {})
    assert shown["backends"]["small"]["timeouts"]["first_token"] == "60s"
    assert shown["routing"]["default_tier"] == "slm"
    assert shown["server"]["port"] == 8080


def test_what_is_shown_is_a_config_but_for_the_masks() -> None:
    """Taking the masks out and loading it gives the same config."""
    config = load(TWO).config
    again = Source(None, {}, as_yaml(resolved(config, {}))).load().config
    assert again.model_copy(update={"routing": config.routing}) == config
