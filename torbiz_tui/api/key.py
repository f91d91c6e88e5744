"""The key that clients have to send: from a variable, or made once and kept in a file."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from pathlib import Path

from torbiz_tui.errors import TorbizError, UsageError
from torbiz_tui.paths import Paths, shown

VARIABLE = "TORBIZ_API_KEY"
_OWNER_ONLY = 0o600
_GENERATED_BYTES = 32


@dataclass(frozen=True)
class ApiKey:
    """A key, and for people where it is to be found; it never shows itself."""

    place: str
    _value: str = field(repr=False)
    file: Path | None = None

    def fits(self, given: str) -> bool:
        """Whether a client has sent this key; takes the same time whatever it has sent."""
        return hmac.compare_digest(_digest(given), _digest(self._value))


def find_key(paths: Paths, environ: MutableMapping[str, str], *, needed: bool) -> ApiKey | None:
    """The key of TORBIZ_API_KEY; else, where one is `needed`, that of `run/api.key`, made at first.

    The variable is taken out of `environ`, so that no other process inherits it. Raises UsageError
    for a key that no header can carry, TorbizError when the file cannot be read or written.
    """
    given = environ.pop(VARIABLE, "")
    if given:
        _require_sendable(given, VARIABLE)
        return ApiKey(VARIABLE, given)
    if not needed:
        return None
    file = paths.run / "api.key"
    try:
        value = _kept(file)
    except OSError as error:
        raise TorbizError(
            f"The key in {shown(file)} cannot be read or written.",
            why=f"{error.strerror}.",
            remedy=f"Make it writable, or give a key in {VARIABLE}.",
            code="key_failed",
        ) from error
    _require_sendable(value, shown(file))
    return ApiKey(shown(file), value, file=file)


def _kept(file: Path) -> str:
    """The key in the file; a new one where there is none yet."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    except FileExistsError:
        # Whoever copied it about may have made it readable for others.
        file.chmod(_OWNER_ONLY)
        return file.read_text(encoding="utf-8", errors="replace").strip()
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        value = secrets.token_urlsafe(_GENERATED_BYTES)
        stream.write(f"{value}\n")
    return value


def _require_sendable(value: str, place: str) -> None:
    if not value or not all("!" <= character <= "~" for character in value):
        raise UsageError(
            f"The key in {place} cannot be sent by a client.",
            why="Accepted are printable ASCII characters without blanks.",
            code="bad_key",
        )


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()
