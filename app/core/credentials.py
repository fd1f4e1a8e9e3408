"""What secrets look like: private keys, keys of well-known makers, tokens, and passwords that are said to be ones.

Each shape is looked for only where the literal stands that every secret of its kind contains, so text without
secrets costs a few substring searches. A maker's prefix with enough random characters behind it is a key; a
password needs its word before it, and unless quoted a digit or sign in it, so `password: str` in code is none.
"""

from __future__ import annotations

import re

_ALONE = r"(?<![A-Za-z0-9])"
# (a literal of the shape, the shape)
_SHAPES = (
    ("-----BEGIN ", r"-----BEGIN (?:[A-Z0-9]{1,10} ){0,3}PRIVATE KEY(?: BLOCK)?-----"),
    ("sk-", _ALONE + r"sk-(?=[A-Za-z0-9_-]{0,40}\d)[A-Za-z0-9_-]{20}"),
    ("hf_", _ALONE + r"hf_[A-Za-z0-9]{30}"),
    *((f"gh{kind}_", _ALONE + f"gh{kind}_[A-Za-z0-9]{{36}}") for kind in "opsru"),
    ("github_pat_", r"github_pat_[A-Za-z0-9_]{22}"),
    ("glpat-", _ALONE + r"glpat-[A-Za-z0-9_-]{20}"),
    ("AKIA", _ALONE + r"AKIA[A-Z0-9]{16}(?![A-Za-z0-9])"),
    ("ASIA", _ALONE + r"ASIA[A-Z0-9]{16}(?![A-Za-z0-9])"),
    ("LTAI", _ALONE + r"LTAI[A-Za-z0-9]{12}"),
    ("AIza", _ALONE + r"AIza[A-Za-z0-9_-]{35}"),
    ("xox", _ALONE + r"xox[abeoprs]-[A-Za-z0-9-]{10}"),
    ("_live_", _ALONE + r"[rs]k_live_[A-Za-z0-9]{16}"),
    ("npm_", _ALONE + r"npm_[A-Za-z0-9]{36}"),
    ("pypi-", _ALONE + r"pypi-[A-Za-z0-9_-]{50}"),
    ("gsk_", _ALONE + r"gsk_[A-Za-z0-9]{30}"),
    (".eyJ", r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\."),  # JWT
    ("://", r"://[^\s/:@]{1,64}:[^\s/@]{3,64}@"),  # an address with user and password
)
_MAKERS = tuple((literal, re.compile(shape)) for literal, shape in _SHAPES)

_SAID = re.compile(
    r"(?i:pass(?:word|wd|phrase|code)|pwd|(?:api|secret|access|private)[ _-]?key|(?:access|auth)[ _-]?token"
    r"|client[ _-]?secret|密[码碼钥]|口令)"
    r"[\"']?\s{0,3}(?::|=>?|\bis\b|是|为|為)\s{0,3}(?![/.~])"
    r"(?:[\"'][^\s\"'<>{}$]{4}|(?=[^\s\"'<>(){}\[\],;]{0,40}[0-9!#%&*@^~])[^\s\"'<>(){}\[\]$,;*]{4})"
)
_HEADER = re.compile(r"(?i:\b(?:bearer|basic) )(?=[A-Za-z._~+/=-]{0,80}[0-9])[A-Za-z0-9._~+/=-]{20}")
_HINTS = ("pass", "pwd", "key", "token", "secret", "密", "口令")


def has_credential(text: str) -> bool:
    """Does any secret stand in the text?"""
    if any(literal in text and shape.search(text) for literal, shape in _MAKERS):
        return True
    lower = text.lower()
    if any(hint in lower for hint in _HINTS) and _SAID.search(text):
        return True
    return ("bearer " in lower or "basic " in lower) and _HEADER.search(text) is not None
