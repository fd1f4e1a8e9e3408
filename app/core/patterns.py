"""What private text looks like: the named patterns that a rule of the config can ask for.

A shape (a regular expression) finds what could be meant; where the real thing carries check digits, a date or an
issuer, these are checked too, so an order number is no ID card. Digits may be split by single spaces or hyphens.
Numbers are first cut out with what stands around them, so ordinary text costs one quick pass; every repetition in
a shape is bounded, so the work grows as the text does and no faster. Text is expected as `app.core.fold` gives it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Literal

from app.core.credentials import has_credential

PatternName = Literal["id-card", "ssn", "phone", "email", "credit-card", "iban", "secret"]

_NUMBER = re.compile(r"[0-9][0-9 ().xX+-]{6,}")
_SPLIT = re.compile(r"[ -]")
_ALONE = r"(?<!\d)(?<!\d\.)"  # neither inside a longer number nor behind a decimal point


def _shape(*parts: str) -> re.Pattern[str]:
    return re.compile("".join(parts), re.ASCII)


def _digits(*classes: str) -> str:
    """Digits of these classes in this order, each two perhaps split by one space or hyphen."""
    return "[ -]?".join(classes)


_YEAR = f"(?:{_digits('1', '[89]')}|{_digits('2', '0')})"
_MONTH = f"(?:{_digits('0', '[1-9]')}|{_digits('1', '[0-2]')})"
_DAY = f"(?:{_digits('0', '[1-9]')}|{_digits('[12]', '[0-9]')}|{_digits('3', '[01]')})"
_BORN = _digits(_YEAR, r"\d", r"\d", _MONTH, _DAY)
_ID_CARD = _shape(_ALONE, _digits("[1-9]", *[r"\d"] * 5, _BORN, *[r"\d"] * 3, r"[\dXx]"), r"(?!\d)")
_SSN = _shape(r"(?<![\d-])(?!000|666|9)\d{3}([ -])(?!00)\d\d\1(?!0000)\d{4}(?![\d-])")
_CARD = _shape(_ALONE, r"[2-6](?:[ -]?\d){12,18}(?!\d)")
_ISSUED = _shape(r"4(?:\d{12}|\d{15}|\d{18})|[56]\d{15,18}|35\d{14,17}|2[2-7]\d{14}|3[47]\d{13}|3[0689]\d{12}")
_MOBILE = _shape(  # Chinese, in the groupings people use, or with each digit apart
    r"(?<!\d)(?<!\d[.-])(?:(?:\+|00)?86[ -]?)?",
    r"(?:1[3-9]\d[ -]?\d{4}[ -]?\d{4}|1[3-9]\d[ -]\d{3}[ -]\d{5}|1[3-9]\d\d[ -]\d{3}[ -]\d{4}",
    r"|1[3-9]\d{3}[ -]\d{3}[ -]\d{3}|1[ -][3-9](?:[ -]\d){9})(?!\d)",
)
_E164 = _shape(r"(?<![0-9A-Za-z_)])\+[1-9](?:[ ()-]{0,2}\d){7,14}(?!\d)")
_NORTH_AMERICAN = _shape(
    r"(?<!\d)(?<!\d[.-])(?:\+?1[ .-]?)?(?:\([2-9]\d\d\)[ .-]?|[2-9]\d\d[ .-])[2-9]\d\d[ .-]\d{4}(?![\d-])"
)
_EMAIL = re.compile(r"[\w%+-]@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2}")
# Looked for from its check digits on, which are rarer than letters: the country stands before them.
_IBAN = _shape(r"[0-9](?<=[A-Za-z]{2}.)(?<![A-Za-z0-9]...)\d(?:[ -]?[A-Za-z0-9]){11,30}")


def _numbers(text: str) -> str:
    """What is written in digits, a line for each number, with up to two characters before it."""
    return "\n".join([text[max(0, found.start() - 2) : found.end()] for found in _NUMBER.finditer(text)])


def _candidates(shape: re.Pattern[str], text: str, before: int = 0) -> Iterator[str]:
    """Whatever has the shape, with characters before it, also what overlaps: one number must not hide another."""
    found = shape.search(text)
    while found:
        yield text[found.start() - before : found.end()]
        found = shape.search(text, found.start() + 1)


_WEIGHTS = [pow(2, 17 - place, 11) for place in range(18)]
_TENS = {"X": 10, "x": 10, **{str(digit): digit for digit in range(10)}}


def _is_id_card(number: str) -> bool:
    """ISO 7064 MOD 11-2 over 17 digits and the check character."""
    values = map(_TENS.__getitem__, _SPLIT.sub("", number))
    return sum(value * weight for value, weight in zip(values, _WEIGHTS, strict=True)) % 11 == 1


_DOUBLED = dict(zip("0123456789", (0, 2, 4, 6, 8, 1, 3, 5, 7, 9), strict=True))


def is_luhn(digits: str) -> bool:
    """Does the last digit check the others?"""
    return (sum(map(int, digits[-1::-2])) + sum(map(_DOUBLED.__getitem__, digits[-2::-2]))) % 10 == 0


def _is_card(number: str) -> bool:
    """Up to one of its splits or its end: other digits (an expiry date) may follow a card's."""
    return any(_ISSUED.fullmatch(digits) and is_luhn(digits) for digits in accumulate(_SPLIT.split(number)))


# Length by country, as the IBAN registry has it.
_IBAN_LENGTHS = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 "
    "EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 "
    "KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 "
    "PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 "
    "VA22 VG24 XK20 YE30"
)
_IBAN_LENGTH: Mapping[str, int] = {entry[:2]: int(entry[2:]) for entry in _IBAN_LENGTHS.split()}


def _is_iban(account: str) -> bool:
    """The country's length and check digits (MOD 97), up to one of its splits or its end."""
    wanted = _IBAN_LENGTH.get(account[:2].upper())
    return any(len(plain) == wanted and _is_mod97(plain) for plain in accumulate(_SPLIT.split(account)))


def _is_mod97(plain: str) -> bool:
    return int("".join(str(int(one, 36)) for one in plain[4:] + plain[:4])) % 97 == 1


def _has_phone(text: str) -> bool:
    numbers = _numbers(text)
    return any(shape.search(numbers) for shape in (_MOBILE, _E164, _NORTH_AMERICAN))


def _has_iban(text: str) -> bool:
    return any(map(_is_iban, _candidates(_IBAN, text, before=2)))


PATTERNS: Mapping[PatternName, Callable[[str], bool]] = {
    "id-card": lambda text: any(map(_is_id_card, _candidates(_ID_CARD, _numbers(text)))),
    "ssn": lambda text: _SSN.search(_numbers(text)) is not None,
    "phone": _has_phone,
    "email": lambda text: "@" in text and _EMAIL.search(text) is not None,
    "credit-card": lambda text: any(map(_is_card, _candidates(_CARD, _numbers(text)))),
    "iban": _has_iban,
    "secret": has_credential,
}
