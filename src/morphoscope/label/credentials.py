"""Names, passwords and tokens: what will do, and what is kept of them."""

from __future__ import annotations

import hashlib
import secrets
import unicodedata
from functools import cache
from typing import Any

from morphoscope.errors import PersonError

__all__ = ["LONGEST_NAME", "LONGEST_PASSWORD", "checked_name", "digest", "folded", "hashed"]
__all__ += ["new_token", "nobody", "verified"]

TOKEN_BYTES = 24
SHORTEST_PASSWORD, LONGEST_PASSWORD = 8, 200
LONGEST_NAME = 60


def new_token() -> str:
    """What nobody guesses."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def digest(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def checked_name(name: str) -> str:
    """A name as it is shown.

    Raises
    ------
    PersonError
        It will not do (422).
    """
    name = unicodedata.normalize("NFKC", name).strip()
    if not 2 <= len(name) <= LONGEST_NAME or not name.isprintable():
        raise PersonError(
            f"the name {name[:LONGEST_NAME]!r} will not do",
            code="bad_name",
            expected=f"2 to {LONGEST_NAME} printable characters",
        )
    return name


def folded(name: str) -> str:
    """What two spellings of one name have in common."""
    return unicodedata.normalize("NFKC", name).strip().casefold()[: 3 * LONGEST_NAME]


@cache
def _hasher() -> Any:
    from argon2 import PasswordHasher

    return PasswordHasher()


@cache
def nobody() -> str:
    """Hash of a password that nobody has."""
    return str(_hasher().hash(secrets.token_urlsafe(TOKEN_BYTES)))


def hashed(password: str) -> str:
    """What is kept of a password (argon2id); it takes a while, and 64 MB.

    Raises
    ------
    PersonError
        It is too short or too long (422).
    """
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise PersonError(
            f"the password has {len(password)} characters",
            code="bad_password",
            expected=f"{SHORTEST_PASSWORD} to {LONGEST_PASSWORD}",
        )
    return str(_hasher().hash(password))


def verified(stored: str, password: str) -> bool:
    """Whether a password is the one that was kept."""
    from argon2.exceptions import VerificationError

    try:
        return bool(_hasher().verify(stored, password[: LONGEST_PASSWORD + 1]))
    except VerificationError:
        return False
