"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# A slow machine is no failure: no time limit per example.
settings.register_profile("smallfirst", deadline=None)
settings.load_profile("smallfirst")

pytest_plugins = ["tests.needs"]
