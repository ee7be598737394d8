"""One-time codes that change with the time (RFC 6238), and the recovery codes for whoever has lost their phone."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

#: What every authenticator app knows: six digits, thirty seconds, SHA-1 (as a keyed hash it has no known weakness).
DIGITS = 6
STEP = 30
#: RFC 4226 asks for 160 bits.
_SECRET_BYTES = 20
#: Steps by which a phone's clock may be wrong.
_SKEW = 1
RECOVERY_CODES = 10
#: 16 of 32 letters: 80 bits.
_RECOVERY_LENGTH = 16
_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
_GROUP = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """What an authenticator app and the registry share."""

    secret: str = field(repr=False)  #: base32
    confirmed: bool = False  #: whether the app has shown that it has it
    last: int = 0  #: the step of the last code that was used: no code counts twice

    @classmethod
    def new(cls) -> Seed:
        """Make one."""
        return cls(secret=base64.b32encode(secrets.token_bytes(_SECRET_BYTES)).decode())

    @classmethod
    def from_text(cls, text: str) -> Seed:
        """Read what `to_text` wrote."""
        return cls(**json.loads(text))

    def to_text(self) -> str:
        """Write it down, to be sealed."""
        return json.dumps(asdict(self))

    def uri(self, account: str, issuer: str) -> str:
        """Return what an app reads from a QR code."""
        return self._codes().get_provisioning_uri(account, issuer)

    def step_of(self, code: str, now: float) -> int | None:
        """Return the step that a code belongs to; None when it is wrong, too old, or was used."""
        present = int(now) // STEP
        for step in range(max(present - _SKEW, self.last + 1), present + _SKEW + 1):
            if secrets.compare_digest(self._codes().generate(step * STEP), code.encode()):
                return step
        return None

    def _codes(self) -> TOTP:
        return TOTP(base64.b32decode(self.secret), DIGITS, SHA1(), STEP)  # noqa: S303 - see DIGITS


def new_recovery_codes() -> list[str]:
    """Make a set of codes, in groups of four letters as people write them down."""
    return [_grouped("".join(secrets.choice(_LETTERS) for _ in range(_RECOVERY_LENGTH))) for _ in range(RECOVERY_CODES)]


def hash_recovery_code(code: str) -> str:
    """Return what is kept of a recovery code, however it was typed."""
    plain = "".join(letter for letter in code.lower() if letter not in "- ")
    return hashlib.sha256(plain.encode(errors="replace")).hexdigest()


def without(hashes: Sequence[str], code: str) -> list[str] | None:
    """Return the hashes without that of a code; None when it is none of them."""
    used = hash_recovery_code(code)
    left = [each for each in hashes if not secrets.compare_digest(each, used)]
    return left if len(left) < len(hashes) else None


def _grouped(text: str) -> str:
    return "-".join(text[start : start + _GROUP] for start in range(0, len(text), _GROUP))
