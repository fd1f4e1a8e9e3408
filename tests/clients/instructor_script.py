"""instructor as an application uses it; see said.py."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any

import instructor
import said
from openai import OpenAI
from pydantic import BaseModel

URL, KEY = sys.argv[1:]


class Facts(BaseModel):
    city: str
    degrees: int


def ask(
    model: str = said.AUTO, mode: instructor.Mode = instructor.Mode.TOOLS, key: str = KEY, partial: bool = False
) -> Any:
    client = instructor.from_openai(OpenAI(base_url=URL, api_key=key, max_retries=0, timeout=20), mode=mode)
    create = client.chat.completions.create_partial if partial else client.chat.completions.create
    return create(model=model, response_model=Facts, max_retries=1, messages=said.messages(said.FACTS))


def value(model: str = said.AUTO, mode: instructor.Mode = instructor.Mode.TOOLS) -> said.Told:
    return {"value": ask(model, mode).model_dump()}


def partial(model: str, mode: instructor.Mode) -> said.Told:
    """As a stream; the last of what comes is whole."""
    *_, last = ask(model, mode, partial=True)
    return {"value": last.model_dump()}


said.tell(
    version("instructor"),
    {
        "forced": value,
        "forced_large": lambda: value(said.LARGE),
        "forced_fallback": lambda: value(said.FLAKY),
        "structured": lambda: value(mode=instructor.Mode.JSON_SCHEMA),
        "structured_large": lambda: value(said.LARGE, instructor.Mode.JSON_SCHEMA),
        "structured_stream": lambda: partial(said.AUTO, instructor.Mode.JSON_SCHEMA),
        "forced_stream": lambda: partial(said.AUTO, instructor.Mode.TOOLS),
        "forced_stream_large": lambda: partial(said.LARGE, instructor.Mode.TOOLS),
        **said.refusals(ask, lambda: ask(key="wrong")),
        **said.cuts(lambda model: partial(model, instructor.Mode.JSON_SCHEMA)),
    },
)
