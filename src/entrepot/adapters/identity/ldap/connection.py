"""One conversation with one server; every wait has an end."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from entrepot.accounts.directory.model import DirectoryUnavailable, NoDirectory
from entrepot.adapters.identity.ldap.entries import Entry
from entrepot.adapters.identity.ldap.settings import LdapSettings

#: Where Debian and its like keep the authorities of the system.
_SYSTEM_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
_PAGE = 500
_RawEntries = list[tuple[str | None, dict[str, list[bytes]]]]


@dataclass(frozen=True, slots=True)
class Deadline:
    """When an answer must be there (`time.monotonic`)."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Self:
        """Give so many seconds from now."""
        return cls(time.monotonic() + seconds)

    def left(self, most: float) -> float:
        """Return the seconds to wait for the next answer.

        Raises:
            DirectoryUnavailable: None are left.
        """
        left = min(most, self.at - time.monotonic())
        if left <= 0:
            raise DirectoryUnavailable("it did not answer in time")
        return left


def library() -> Any:
    """Return python-ldap, which is imported by whoever uses a directory and nobody else.

    Raises:
        NoDirectory: It is not installed.
    """
    try:
        import ldap  # noqa: PLC0415 - see above
        import ldap.controls.libldap  # noqa: PLC0415
    except ImportError as error:
        raise NoDirectory(
            "access.ldap needs the extra 'ldap' (python-ldap), which is not installed here: pip install "
            f"'entrepot[ldap]', or the Debian package python3-ldap ({error})"
        ) from error
    return ldap


class Connection:
    """A connection to one server. Not for two threads at once."""

    def __init__(self, settings: LdapSettings, server: str, deadline: Deadline) -> None:
        """Connect, encrypted where the settings say so.

        Raises:
            DirectoryUnavailable: The server does not answer, or its certificate is not to be believed.
        """
        self._ldap = library()
        self._settings = settings
        self.server = server
        with self._explained("connect"):
            self._handle = self._ldap.initialize(server)
            self._set_options(deadline)
            if settings.start_tls and server.startswith("ldap://"):
                self._handle.start_tls_s()

    def _set_options(self, deadline: Deadline) -> None:
        ldap, handle, settings = self._ldap, self._handle, self._settings
        wait = deadline.left(settings.timeout)
        handle.set_option(ldap.OPT_PROTOCOL_VERSION, ldap.VERSION3)
        handle.set_option(ldap.OPT_NETWORK_TIMEOUT, wait)
        handle.set_option(ldap.OPT_TIMEOUT, wait)
        # A referral may lead anywhere, with our password.
        handle.set_option(ldap.OPT_REFERRALS, 0)
        policy = ldap.OPT_X_TLS_NEVER if settings.insecure else ldap.OPT_X_TLS_DEMAND
        handle.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, policy)
        authorities = settings.ca or (_SYSTEM_AUTHORITIES if os.path.exists(_SYSTEM_AUTHORITIES) else "")  # noqa: PTH110 - asked for every connection
        if authorities:
            handle.set_option(ldap.OPT_X_TLS_CACERTFILE, authorities)
        handle.set_option(ldap.OPT_X_TLS_PROTOCOL_MIN, ldap.OPT_X_TLS_PROTOCOL_TLS1_2)
        handle.set_option(ldap.OPT_X_TLS_NEWCTX, 0)

    def bind(self, who: str, password: str, deadline: Deadline) -> bool:
        """Sign in; False when the password is wrong or the account may not sign in.

        Raises:
            DirectoryUnavailable: The server did not answer yes or no.
        """
        if who and not password:
            # RFC 4513, 5.1.2: servers answer such a bind with success, and nobody has proven anything.
            return False
        ldap = self._ldap
        refusals = (
            ldap.INVALID_CREDENTIALS,
            ldap.CONSTRAINT_VIOLATION,
            ldap.UNWILLING_TO_PERFORM,
            ldap.INAPPROPRIATE_AUTH,
            ldap.NO_SUCH_OBJECT,
            ldap.INVALID_DN_SYNTAX,
        )
        with self._explained("sign in"):
            try:
                message = self._handle.simple_bind(who, password)
                kind = self._handle.result3(message, timeout=deadline.left(self._settings.timeout))[0]
            except refusals:
                return False
        self._expect(ldap.RES_BIND, kind)
        return True

    def search(self, base: str, scope: str, text: str, attributes: Sequence[str], deadline: Deadline) -> list[Entry]:
        """Return the entries that fit.

        Raises:
            DirectoryUnavailable: The server did not answer, or cannot make sense of the question.
        """
        with self._explained(f"search {base or 'the root'}"):
            return self._answer(self.ask(base, scope, text, attributes), deadline)

    def ask(self, base: str, scope: str, text: str, attributes: Sequence[str]) -> int:
        """Send a question; several may be under way at once. `found` waits for the answer."""
        with self._explained(f"search {base}"):
            return int(self._handle.search_ext(base, self._scope(scope), text, attrlist=list(attributes)))

    def found(self, message: int, deadline: Deadline) -> list[Entry]:
        """Return the entries that answer a question; a base that is not there has none.

        Raises:
            DirectoryUnavailable: The server did not answer.
        """
        with self._explained("search"):
            try:
                return self._answer(message, deadline)
            except (self._ldap.NO_SUCH_OBJECT, self._ldap.INVALID_DN_SYNTAX):
                return []

    def pages(
        self, base: str, scope: str, text: str, attributes: Sequence[str], *, size: int = _PAGE
    ) -> Iterator[list[Entry]]:
        """Give all entries that fit, in parts, so that no server's limit cuts them short (RFC 2696).

        Raises:
            DirectoryUnavailable: The server did not answer, or not to the end.
        """
        paged = self._ldap.controls.libldap.SimplePagedResultsControl
        cookie: bytes | str = ""
        while True:
            control = paged(True, size=size, cookie=cookie)  # noqa: FBT003 - positional in python-ldap's interface
            with self._explained(f"list {base or 'the root'}"):
                message = self._handle.search_ext(
                    base, self._scope(scope), text, attrlist=list(attributes), serverctrls=[control]
                )
                kind, found, _, controls = self._handle.result3(message, timeout=self._settings.timeout)
            self._expect(self._ldap.RES_SEARCH_RESULT, kind)
            yield _entries(found)
            cookie = next((c.cookie for c in controls if c.controlType == paged.controlType), b"")
            if not cookie:
                return

    def close(self) -> None:
        """Let go."""
        with contextlib.suppress(self._ldap.LDAPError):
            self._handle.unbind_ext()

    def _answer(self, message: int, deadline: Deadline) -> list[Entry]:
        kind, found, *_ = self._handle.result3(message, timeout=deadline.left(self._settings.timeout))
        self._expect(self._ldap.RES_SEARCH_RESULT, kind)
        return _entries(found)

    def _expect(self, kind: int, came: int | None) -> None:
        """See to it that a question was answered and not something else: the library does not look."""
        if came != kind:
            raise DirectoryUnavailable(f"{self.server}: answers something that was not asked")

    def _scope(self, scope: str) -> int:
        ldap = self._ldap
        return int({"base": ldap.SCOPE_BASE, "onelevel": ldap.SCOPE_ONELEVEL}.get(scope, ldap.SCOPE_SUBTREE))

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        """Turn what the library raises into what we know."""
        try:
            yield
        except self._ldap.SIZELIMIT_EXCEEDED as error:
            raise DirectoryUnavailable(
                f"{self.server}: cannot {doing}: it gives the account that searches only a part of the entries; "
                "raise its limit (in OpenLDAP: limits dn.exact=... size.prtotal=unlimited)"
            ) from error
        except (self._ldap.LDAPError, ValueError) as error:
            raise DirectoryUnavailable(f"{self.server}: cannot {doing}: {_words(error)}") from error


def _entries(found: _RawEntries) -> list[Entry]:
    """Read entries; references to other servers, which have no DN, are left out."""
    return [Entry.read(dn, attributes) for dn, attributes in found if dn]


def _words(error: Exception) -> str:
    detail = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    said = [str(detail[key]) for key in ("desc", "info") if detail.get(key)]
    return "; ".join(said) or type(error).__name__
