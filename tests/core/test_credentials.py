"""Secrets are found by what their makers write; code and talk about secrets are not secrets."""

from __future__ import annotations

import pytest

from app.core.credentials import has_credential
from app.core.fold import fold

YES = [
    "-----BEGIN RSA PRIVATE KEY-----\nMII",
    "-----BEGIN PRIVATE KEY-----",
    "-----BEGIN PGP PRIVATE KEY BLOCK-----",
    "key=sk-" + "abc1DEF2" * 3,
    "sk-proj-" + "abc1DEF2" * 3,
    "hf_" + "aB" * 17,
    "ghp_" + "a1B2" * 9,
    "github_pat_" + "a1B2" * 9,
    "AKIAIOSFODNN7EXAMPLE",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc",
    "https://user:pass1@example.com/x",
    "Authorization: Bearer abcdef0123456789abcdef0",
    "password: hunter2",
    "My password is hunter2",
    "DB_PASSWORD=s3cr3t",
    "api_key = 'abcdefgh'",
    r"{\"password\": \"correct-horse\"}",
    "密码是123456",
    "密码：abc123",
]
NO = [
    "",
    "password: str",
    "def login(password: string, api_key=None)",
    "password = os.environ['PASSWORD1']",
    "password: ****1234, <password>, {{ vault_password_1 }}",
    "Your password must be 8 characters",
    "basic internationalization of things",
    "sk-learn-something-quite-long-without-figures",
    "-----BEGIN PUBLIC KEY-----",
    "a monkey, a keyboard and the tokens of a highlight",
]


@pytest.mark.parametrize("text", YES)
def test_secrets_are_found(text: str) -> None:
    """Private keys, keys of well-known makers, tokens, addresses with a password, passwords that are said."""
    assert has_credential(fold(text))
    assert has_credential(fold(f"Look:\n{text}\nIs it right?"))


@pytest.mark.parametrize("text", NO)
def test_code_and_talk_are_not(text: str) -> None:
    """Types, placeholders, lookups and public keys give nothing away."""
    assert not has_credential(fold(text))
