"""What the scripts of the Python clients share: what they ask, and how they tell what came of it.

Run by the interpreters of the clients, so nothing but Python's own modules is imported here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

HELLO = "Please explain what a gateway is."
PARTS = ("Please", "explain what a gateway is.")
JOINED = "\n".join(PARTS)  # what a backend gets that takes no parts
WEATHER = "What is the weather in Lisbon?"
FACTS = "Where is it how warm?"
AUTO, LARGE, THINKER = "auto", "maker/large", "thinker:1b"  # any, a vLLM with calls in pieces, one that thinks aloud
FLAKY = "flaky"  # a tier whose backend always fails, so that another one answers
CUT, RESET, BROKEN = "cut:1b", "reset", "broken"  # they end in the middle: cleanly, by a reset, by an error event
REFUSING = {429: "busy", 503: "loading", 400: "picky", 404: "no-such-model"}

Told = dict[str, Any]
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "integer"}},
    "required": ["city", "degrees"],
    "additionalProperties": False,
}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Current weather of a city", "parameters": PARAMETERS},
}


def messages(text: str = HELLO) -> list[Any]:
    return [{"role": "user", "content": text}]


def failing(ask: Callable[[], Any]) -> Told:
    """The error that `ask` must end in, as the client shows it."""
    try:
        got = ask()
    except Exception as error:
        return raised(error)
    return {"raised": None, "got": repr(got)[:500]}


def refusals(ask: Callable[[str], Any], ask_wrongly: Callable[[], Any]) -> dict[str, Callable[[], Told]]:
    """One check for each status: `ask` takes a model's name, `ask_wrongly` uses a key that nobody has."""
    checks = {f"error_{status}": lambda name=name: failing(lambda: ask(name)) for status, name in REFUSING.items()}
    return {**checks, "error_401": lambda: failing(ask_wrongly)}


def cuts(stream: Callable[[str], Any]) -> dict[str, Callable[[], Told]]:
    """One check for each way in which a stream may end in its middle."""
    ways = {"cut": CUT, "reset": RESET, "broken": BROKEN}
    return {way: lambda name=name: failing(lambda: stream(name)) for way, name in ways.items()}


def raised(error: BaseException) -> Told:
    """Its status is looked for in what it wraps, too."""
    chain, one = [], error
    while one is not None and one not in chain:
        chain.append(one)
        one = one.__cause__ or one.__context__
    return {
        "raised": type(error).__name__,
        "said": str(error)[:500],
        "status": next((found for found in map(_status, chain) if found), None),
    }


def _status(error: BaseException) -> int | None:
    return getattr(error, "status_code", None) or getattr(getattr(error, "response", None), "status_code", None)


def tell(version: str, checks: dict[str, Callable[[], Told]]) -> None:
    """On the last line one JSON object: what each check found, or how it failed."""
    found = {}
    for name, check in checks.items():
        try:
            found[name] = check()
        except Exception as error:
            found[name] = {"failed": raised(error)}
    print("\n" + json.dumps({"version": version, "checks": found}))
