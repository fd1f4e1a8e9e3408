"""Many spellings, one text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.fold import fold


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("plain 1-2", "plain 1-2"),
        ("１２３ＡＢｃ：＠．", "123ABc:@."),
        ("٣٤ 𝟏𝟐 ¹²₃", "34 12 123"),
        ("1\u20132\u22123\u00a04\u30005", "1-2-3 4 5"),
        ("1\u200b2\u00ad3\ufeff", "123"),
        (r"a\n1\t2", "a\n1\n2"),
        (r"\u0031\uff12 \"x\" \\ \/", '12 "x" \\ /'),
        ("中文，不变", "中文,不变"),
        (r"\ud83d", "\ud83d"),
    ],
)
def test_fold(text: str, folded: str) -> None:
    """Digits, signs, dashes, spaces and escapes come out in ASCII; what is unseen goes; the rest stays."""
    assert fold(text) == folded


@given(st.text(st.characters(categories=["Nd"])))
def test_digits_are_what_they_are_worth(text: str) -> None:
    """Every script's decimal digits, as the Unicode tables have them."""
    assert fold(text) == "".join(str(unicodedata.decimal(one)) for one in text)


def test_digits_are_those_of_nfkc() -> None:
    """Each character that NFKC makes a single digit is that digit here."""
    single = {chr(code): unicodedata.normalize("NFKC", chr(code)) for code in range(0x80, 0x20000)}
    missed = {
        one: digit for one, digit in single.items() if len(digit) == 1 and digit in "0123456789" and fold(one) != digit
    }
    assert missed == {}
