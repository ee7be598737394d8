"""A directory that speaks LDAP, as the port `accounts.directory.model.Directory`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from entrepot.accounts.directory.model import Answer, DirectoryGroup, DirectoryUnavailable, Person
from entrepot.adapters.identity.ldap.connection import Connection, Deadline, library
from entrepot.adapters.identity.ldap.people_list import everybody
from entrepot.adapters.identity.ldap.queries import Questions
from entrepot.adapters.identity.ldap.servers import Servers
from entrepot.adapters.identity.ldap.settings import LdapSettings

T = TypeVar("T")

_THREADS = 8
#: Questions that may be under way or wait for a thread.
_QUEUE = 64
#: Time-outs of single answers that fit into a whole question.
PATIENCE = 3
_COUNTED = 1000


class LdapDirectory:
    """Asks the servers in threads, so that a slow one holds up nobody else."""

    def __init__(self, settings: LdapSettings) -> None:
        """Keep the settings; nothing is connected before the first question.

        Raises:
            NoDirectory: The extra that speaks LDAP is not installed.
        """
        library()
        self._settings = settings
        self._servers = Servers(settings)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="ldap")
        self._under_way: set[asyncio.Future[Any]] = set()

    @property
    def can_list(self) -> bool:
        """See `Directory`."""
        return bool(self._settings.users.where.base) and bool(self._settings.bind_dn or not self._settings.user_dn)

    async def sign_in(self, name: str, password: str) -> Person | None:
        """See `Directory`."""
        if not password:
            return None
        if self._settings.user_dn:
            return await self._alone(lambda questions: questions.sign_in_directly(name, password))
        return await self._ask(lambda questions: questions.sign_in(name, password))

    async def find_person(self, name: str) -> Person | None:
        """See `Directory`."""
        return await self._ask(lambda questions: questions.find_person(name))

    async def search_people(self, text: str, *, limit: int) -> list[Person]:
        """See `Directory`."""
        return await self._ask(lambda questions: questions.search_people(text, limit))

    async def search_groups(self, text: str, *, limit: int) -> list[DirectoryGroup]:
        """See `Directory`."""
        return await self._ask(lambda questions: questions.search_groups(text, limit))

    async def find_group(self, dn: str) -> DirectoryGroup | None:
        """See `Directory`."""
        return await self._ask(lambda questions: questions.find_group(dn))

    async def has(self, subject: str) -> bool:
        """See `Directory`."""
        return await self._ask(lambda questions: questions.has(subject))

    async def test(self) -> Answer:
        """See `Directory`."""
        return await self._ask(self._test)

    async def everybody(self) -> AsyncGenerator[Sequence[Person], None]:
        """See `Directory`."""
        connection = await self._in_thread(lambda: self._servers.open(self._deadline()))
        pages = everybody(self._settings, connection)
        loop = asyncio.get_running_loop()
        try:
            while (page := await loop.run_in_executor(self._threads, next, pages, None)) is not None:
                yield page
        finally:
            await loop.run_in_executor(self._threads, connection.close)

    async def close(self) -> None:
        """See `Directory`."""
        self._servers.close()
        self._threads.shutdown(wait=False)

    def _deadline(self) -> Deadline:
        return Deadline.after(PATIENCE * self._settings.timeout)

    async def _ask(self, question: Callable[[Questions], T]) -> T:
        def work(connection: Connection, deadline: Deadline) -> T:
            return question(Questions(self._settings, connection, deadline))

        return await self._in_thread(lambda: self._servers.run(work, self._deadline()))

    async def _alone(self, question: Callable[[Questions], T]) -> T:
        """Ask on a connection that nobody else will use: it is signed in as a person."""

        def run() -> T:
            deadline = self._deadline()
            connection = self._servers.open(deadline)
            try:
                return question(Questions(self._settings, connection, deadline))
            finally:
                connection.close()

        return await self._in_thread(run)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Run in a thread; whoever waits is let go in time even where the library is not."""
        if len(self._under_way) >= _QUEUE:
            raise DirectoryUnavailable("too many questions to the directory are under way")
        try:
            future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        except RuntimeError:
            raise DirectoryUnavailable("the settings of the directory have just changed; ask again") from None
        self._under_way.add(future)
        future.add_done_callback(self._done)
        try:
            return await asyncio.wait_for(asyncio.shield(future), PATIENCE * self._settings.timeout + 1)
        except TimeoutError:
            raise DirectoryUnavailable("it did not answer in time") from None

    def _done(self, future: asyncio.Future[Any]) -> None:
        self._under_way.discard(future)
        if not future.cancelled():
            future.exception()  # whoever waited may be gone: nobody is to be told of it by asyncio

    def _test(self, questions: Questions) -> Answer:
        started = time.perf_counter()
        people, groups = self._settings.users.where, self._settings.groups
        found = questions.count(people.base, people.scope, people.filter, _COUNTED) if people.base else 0
        in_groups = groups and questions.count(groups.where.base, groups.where.scope, groups.where.filter, _COUNTED)
        warnings = []
        if people.base and not found:
            warnings.append("nobody fits: look at users.base, users.filter and the rights of the account that searches")
        if groups and not in_groups:
            warnings.append("no group fits: look at groups.base and groups.filter")
        return Answer(
            server=questions.connection.server,
            milliseconds=round((time.perf_counter() - started) * 1000),
            people=found,
            groups=in_groups or 0,
            warnings=tuple(warnings),
        )
