"""Several servers of one directory: the first that answers is asked, and one that did not is left alone for a while."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from entrepot.accounts.directory.model import DirectoryUnavailable
from entrepot.adapters.identity.ldap.connection import Connection, Deadline
from entrepot.adapters.identity.ldap.settings import LdapSettings

T = TypeVar("T")
Work = Callable[[Connection, Deadline], T]

_log = logging.getLogger(__name__)
#: Seconds for which a server that failed is passed over while another answers.
ASIDE = 30.0
#: Seconds for which nobody is asked after all failed, so that nobody waits for what is known.
PAUSE = 5.0
#: Idle connections older than this may have been forgotten by a firewall.
_IDLE = 60.0
_MOST_IDLE = 4


class Servers:
    """Runs work on a connection that is signed in with the account that searches. For several threads."""

    def __init__(self, settings: LdapSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._failed: dict[str, tuple[float, str]] = {}
        self._idle: list[tuple[float, Connection]] = []

    def run(self, work: Work[T], deadline: Deadline) -> T:
        """Do something on an open connection, or on a new one to the first server that answers.

        The work may run again, on another connection, when one fails in the middle.

        Raises:
            DirectoryUnavailable: No server answers.
        """
        idle = self._take_idle()
        if idle is not None:
            try:
                return self._finished(idle, work(idle, deadline))
            except DirectoryUnavailable:
                idle.close()
        return self._on_new(work, deadline)

    def open(self, deadline: Deadline) -> Connection:
        """Open a connection of one's own to the first server that answers; the caller closes it.

        Raises:
            DirectoryUnavailable: No server answers.
        """
        return self._first(self._connected, deadline)

    def close(self) -> None:
        """Close idle connections."""
        while (connection := self._take_idle()) is not None:
            connection.close()

    def _on_new(self, work: Work[T], deadline: Deadline) -> T:
        def attempt(server: str, deadline: Deadline) -> T:
            connection = self._connected(server, deadline)
            try:
                return self._finished(connection, work(connection, deadline))
            except BaseException:
                connection.close()
                raise

        return self._first(attempt, deadline)

    def _first(self, attempt: Callable[[str, Deadline], T], deadline: Deadline) -> T:
        """Try one server after the other."""
        failure = DirectoryUnavailable("; ".join(dict.fromkeys(said for _, said in self._failed.values())))
        for server in self._candidates():
            try:
                result = attempt(server, deadline)
            except DirectoryUnavailable as error:
                failure = error
                self._failed[server] = (self._clock(), str(error))
                _log.warning("a server of the directory failed", extra={"server": server, "reason": str(error)})
            else:
                self._failed.pop(server, None)
                return result
        raise failure

    def _candidates(self) -> list[str]:
        """List the servers to try: those that are not known to be down, then those that were so for a while."""
        ages = {server: self._clock() - failed for server, (failed, _) in self._failed.items()}
        up = [server for server in self._settings.servers if ages.get(server, ASIDE) >= ASIDE]
        return up + [server for server in self._settings.servers if server not in up and ages[server] >= PAUSE]

    def _connected(self, server: str, deadline: Deadline) -> Connection:
        connection = Connection(self._settings, server, deadline)
        try:
            self._sign_in(connection, deadline)
        except BaseException:
            connection.close()
            raise
        return connection

    def _sign_in(self, connection: Connection, deadline: Deadline) -> None:
        settings = self._settings
        if settings.user_dn and not settings.bind_dn:
            return  # people sign in by themselves
        try:
            password = settings.password
        except OSError as error:
            raise DirectoryUnavailable(f"access.ldap.bindpasswordfile cannot be read: {error.strerror}") from error
        if not connection.bind(settings.bind_dn, password, deadline):
            raise DirectoryUnavailable(f"{connection.server}: refuses the account that searches; check binddn")

    def _take_idle(self) -> Connection | None:
        while self._idle:
            since, connection = self._idle.pop()
            if self._clock() - since < _IDLE:
                return connection
            connection.close()
        return None

    def _finished(self, connection: Connection, result: T) -> T:
        if len(self._idle) < _MOST_IDLE:
            self._idle.append((self._clock(), connection))
        else:
            connection.close()
        return result
