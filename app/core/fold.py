"""One spelling for what can be spelled in many ways, so that a full-width digit or an odd dash hides nothing.

Digits of any script, full-width letters and signs, dashes, spaces and JSON escapes (tool arguments are JSON in a
string) come out in ASCII; what nobody sees (soft hyphens, zero-width characters) goes. Everything else stays: for
digits this is what NFKC does, in one pass however many combining marks stand together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_SPACES = "\u00a0\u202f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
_UNSEEN = "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
_SMALL = "⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉⓪①②③④⑤⑥⑦⑧⑨"
_ASCII: Mapping[str, str] = {
    **dict.fromkeys(_SPACES, " "),
    **dict.fromkeys(_DASHES, "-"),
    **dict.fromkeys(_UNSEEN, ""),
    **dict(zip(_SMALL, "0123456789" * 3, strict=True)),
    **{chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},
}
_ODD = re.compile(f"(?![0-9])\\d|[{''.join(map(re.escape, _ASCII))}]")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|[bfnrt]|([\"/\\]))")


def fold(text: str) -> str:
    """The same text in fewer spellings. Half of an escaped pair of surrogates stays half of one."""
    if "\\" in text:
        text = _ESCAPE.sub(_unescaped, text)
    return text if text.isascii() else _ODD.sub(_ascii, text)


def _unescaped(found: re.Match[str]) -> str:
    code, sign = found.groups()
    return chr(int(code, 16)) if code else sign or "\n"


def _ascii(found: re.Match[str]) -> str:
    known = _ASCII.get(found[0])
    return str(int(found[0])) if known is None else known
