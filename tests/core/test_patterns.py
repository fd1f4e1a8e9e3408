"""Each pattern finds its kind in every spelling people use, and leaves alone what only looks like it."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.fold import fold
from app.core.patterns import PATTERNS, PatternName, is_luhn

YES: list[tuple[PatternName, str]] = [
    ("id-card", "11010519491231002X"),
    ("id-card", "我的身份证号是11010519491231002x，请核对"),
    ("id-card", "1101 0519 4912 3100 2X"),
    ("id-card", "110105-19491231-002X"),
    ("id-card", "12345 110105 19491231 002X"),
    ("id-card", "１１０１０５１９４９１２３１００２Ｘ"),
    ("id-card", "110105\u200b19491231\u200b002X"),
    ("ssn", "SSN 078-05-1120."),
    ("ssn", "078 05 1120"),
    ("phone", "13800138000"),
    ("phone", "电话138 0013 8000。"),
    ("phone", "+86 138-0013-8000"),
    ("phone", "008613800138000"),
    ("phone", "8613800138000"),
    ("phone", "1 3 8 0 0 1 3 8 0 0 0"),
    ("phone", "１３８００１３８０００"),
    ("phone", "138–0013–8000"),
    ("phone", "(415) 555-2671"),
    ("phone", "415.555.2671"),
    ("phone", "1-415-555-2671"),
    ("phone", "+1 (415) 555-2671"),
    ("phone", "+14155552671"),
    ("phone", "+44 20 7946 0958"),
    ("phone", r'{"text": "call\n13800138000"}'),
    ("phone", r"\u0031\u0033800138000"),
    ("email", "write to a.b+c@mail.example.com!"),
    ("email", "邮箱a@b.cn谢谢"),
    ("email", "ａ＠ｂ．ｃｏｍ"),
    ("credit-card", "4111111111111111"),
    ("credit-card", "4111 1111 1111 1111 12/26"),
    ("credit-card", "5 4111-1111-1111-1111 123"),
    ("credit-card", "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1"),
    ("credit-card", "378282246310005"),
    ("credit-card", "5555 5555 5555 4444"),
    ("iban", "DE89 3704 0044 0532 0130 00 BIC follows"),
    ("iban", "gb82west12345698765432"),
    ("secret", "password: hunter2"),
]


@pytest.mark.parametrize(("name", "text"), YES)
def test_found(name: PatternName, text: str) -> None:
    """Whole, split, full-width, escaped, between other words and digits."""
    assert PATTERNS[name](fold(text))


NO = [
    "",
    "order 110105194912310021",  # the check character is wrong
    "110105194913310027",  # no such month
    "202401151234567890",
    "1700000000000",
    "1700000000",
    "3.14159265358979323846",
    "+3.14159265",
    "2024-01-15 12:34:56",
    "2024-01-15T10:00:00+08:00 1700000000",
    "150 2024-05-06 1",
    "192.168.100.200 8080",
    "x = a+12345678",
    "1234567890123456",
    "4111111111111112",
    "41111111111111111111111111",
    "000-12-3456 and 900-12-3456 and 123-00-4567",
    "12345678-1234-1234-1234-123456789012",
    "foo@1.2.3 @decorator a @ b.com",
    "commit de89f3a0440532013000aa11bb22cc33dd44ee55",
    "DE88 3704 0044 0532 0130 00",
]


@pytest.mark.parametrize("text", NO)
def test_not_found(text: str) -> None:
    """Order numbers, times, versions, hashes and code are nobody's data."""
    assert [name for name, has in PATTERNS.items() if has(fold(text))] == []


def test_every_name_has_its_pattern() -> None:
    """What a config may name exists."""
    assert set(PATTERNS) == set(get_args(PatternName))


# --- properties ---------------------------------------------------------------------------------------------

AROUND = st.sampled_from(["", " ", "号码:", "x ", "，", "\n", "\\n", "(", '"'])
WIDE = str.maketrans("0123456789", "０１２３４５６７８９")


def check_character(body: str) -> str:
    """Of a Chinese ID card's first 17 digits, by the published table of weights."""
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return "10X98765432"[sum(int(digit) * weight for digit, weight in zip(body, weights, strict=True)) % 11]


ID_BODIES = st.builds(
    "{}{:05}{}{:02}{:02}{:03}".format,
    st.integers(1, 9),
    st.integers(0, 99_999),
    st.integers(1800, 2099),
    st.integers(1, 12),
    st.integers(1, 31),
    st.integers(0, 999),
)


def split(number: str, places: set[int], mark: str) -> str:
    return "".join(mark + one if place and place in places else one for place, one in enumerate(number))


SPLITS = st.sets(st.integers(1, 18), max_size=6)
MARKS = st.sampled_from([" ", "-", "–", "\u00a0"])


@given(ID_BODIES, AROUND, AROUND, SPLITS, MARKS, st.booleans())
def test_valid_id_cards_are_found(body: str, before: str, after: str, places: set[int], mark: str, wide: bool) -> None:
    """Whatever stands around them, however they are split and whichever digits are used."""
    number = split(body + check_character(body), places, mark)
    text = before + (number.translate(WIDE) if wide else number) + after
    assert PATTERNS["id-card"](fold(text))


@given(ID_BODIES)
def test_one_check_character_in_eleven_is_right(body: str) -> None:
    """Of the eleven numbers with one body a single one is an ID card."""
    right = [last for last in "0123456789X" if PATTERNS["id-card"](body + last)]
    assert right == [check_character(body)]


@given(st.from_regex(r"[2-6][0-9]{14,17}", fullmatch=True), AROUND, AROUND, SPLITS, MARKS)
def test_luhn_decides_about_cards(body: str, before: str, after: str, places: set[int], mark: str) -> None:
    """Of the ten last digits one makes a card, if any issuer has that length."""
    bodies = [body + last for last in "0123456789"]
    checked = [number for number in bodies if is_luhn(number)]
    found = [number for number in bodies if PATTERNS["credit-card"](fold(before + split(number, places, mark) + after))]
    whole = [number for number in bodies if PATTERNS["credit-card"](number)]
    assert len(checked) == 1
    assert whole in ([], checked)
    assert set(whole) <= set(found)
    if body[0] == "6":
        assert whole == checked


@given(st.text(), st.text())
def test_any_text_is_searched(before: str, after: str) -> None:
    """No text makes a pattern fail; folding twice is folding once, but for escapes of escapes."""
    text = fold(before + "13800138000" + after)
    for has in PATTERNS.values():
        has(text)
    if "\\" not in before + after:
        assert fold(text) == text


LENGTH = 250_000
HOSTILE = [
    "1 ",
    "1",
    "4111 ",
    "1101 0519 4912 3100 2 ",
    "DE00 ",
    "DE89",
    "a@",
    "a@a.",
    "a.",
    "eyJ",
    "eyJaaaaaaaa.",
    "password ",
    "password:",
    " ",
    "sk-",
    "-----BEGIN ",
    "+1 ",
    "(2",
    "://a:",
    "bearer ",
    "１",
    "\\",
    "\\u0031",
    "\u0300\u0316",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_text_ends(piece: str) -> None:
    """A long text made to confuse each shape is searched to its end: bounded repetitions cannot explode."""
    text = fold("password" + piece * (LENGTH // len(piece)))
    for has in PATTERNS.values():
        has(text)
