"""Regular expressions that an operator writes: they must compile, say something, and end.

They are matched against what strangers send, so one that can take forever is refused. The sure sign of that is a
repetition inside a repetition, `(a+)+`; a text that almost matches is then cut up in every way there is.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""\\.                                   # an escaped character
      | \[\^?\]?(?:\\.|[^\]\\])*\]            # a class
      | (?P<opens>\((?:\?(?:P<\w+>|<?[=!]|[aiLmsux-]*:|>))?)
      | (?P<closes>\))
      | (?P<repeats>[*+]|\{(?P<least>\d*),?(?P<most>\d*)\})
      | .""",
    re.VERBOSE | re.DOTALL,
)
_MANY = 10  # times that a group with a repetition in it may be repeated


def check_regex(text: str) -> str:
    """Raises ValueError with the cure; the text itself is not in it."""
    try:
        compiled = re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        place = getattr(error, "pos", None)
        where = f", see character {place + 1}" if place is not None else ""
        raise ValueError(f"not a regular expression of Python{where}") from None
    if compiled.search(""):
        raise ValueError("it matches any text; leave out what may be empty")
    if _nests(text):
        raise ValueError(
            "a repetition inside a repetition, like (a+)+, can take forever; "
            f"repeat the inner or the outer one less than {_MANY} times, like (a{{1,9}}){{1,9}}"
        )
    return text


def _nests(text: str) -> bool:
    """Is a group that holds a repetition repeated without bound, or often?"""
    holds = [False]  # for each open group: does it hold a repetition?
    closed = False  # of the group that has just been closed
    for found in _TOKEN.finditer(text):
        inner, closed = closed, False
        if found["opens"]:
            holds.append(False)
        elif found["closes"]:
            closed = holds.pop()
            holds[-1] |= closed
        elif found["repeats"]:
            if inner and _often(found):
                return True
            holds[-1] |= _often(found)
    return False


def _often(found: re.Match[str]) -> bool:
    """`*`, `+`, `{2,}` and `{1,10}` do; `{3}` and `{1,9}` do not."""
    sign = found["repeats"]
    if sign[0] != "{":
        return True
    if "," not in sign:
        return int(found["least"] or 0) >= _MANY
    return not found["most"] or int(found["most"]) >= _MANY
