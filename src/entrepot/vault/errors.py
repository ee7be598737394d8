"""What can be wrong with secrets at rest.

VaultError
 ├── SecretKeyUnusable   the operator's key is missing, malformed or can be read by others
 └── SecretUnreadable    a sealed text cannot be opened: another key, another place, or it was changed
"""

from __future__ import annotations


class VaultError(Exception):
    """Secrets at rest cannot be used; the message says what to do."""


class SecretKeyUnusable(VaultError):
    """The key that the operator keeps cannot be used."""


class SecretUnreadable(VaultError):
    """A sealed text does not open."""
