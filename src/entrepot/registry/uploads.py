"""Uploads: bytes on their way to becoming a blob.

A session belongs to one repository and one principal. Its offset is the length of its file in the blob store; its row
(in the work database) remembers how far which digest is known, so that any worker may complete it. Of an object store
the row remembers the store's own state of the upload, too, and that alone says how far it has come.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from typing import NoReturn

from entrepot.metadata import clock
from entrepot.metadata.contents import blobs, repository_blobs, upload_sessions
from entrepot.metadata.database import Database, Transaction
from entrepot.metadata.jobs import outbox
from entrepot.metadata.lifecycle import review
from entrepot.metadata.usage import usage_recount
from entrepot.oci.digest import Digest
from entrepot.oci.errors import (
    BlobUnknown,
    BlobUploadUnknown,
    QuotaExceeded,
    TooManyRequests,
    Unavailable,
    UploadRangeInvalid,
)
from entrepot.oci.reference import RepositoryName
from entrepot.oci.upload import UploadEvent, advance
from entrepot.registry import layout
from entrepot.registry.adoption import WantedBlob
from entrepot.registry.lookup import Lookup
from entrepot.registry.model import Actor, BlobRecord, UploadSession
from entrepot.registry.ports import BlobStore, StoredBlob, UploadProgress
from entrepot.registry.projects import require_project
from entrepot.registry.quarantine import heal
from entrepot.registry.quota import Limited, ensure_repository, limited, with_room
from entrepot.registry.settings import HOUR, RegistrySettings

#: Seconds between looks at a blob that the collector is deleting.
_DELETING_POLL = 0.05
#: Seconds after which somebody who has too many sessions open may try again.
_RETRY_SECONDS = 60
#: Seconds for which a session that received nothing is left alone, however many there are: slow clients need it.
_EMPTY_SECONDS = 60.0
#: So many of the oldest are looked at for one that may go.
_LOOKS = 100
#: Who heals a blob, in findings and events.
_PUSH = "push"


@dataclass(frozen=True, slots=True)
class _Copy:
    """The bytes that a push relies on: those it brought (`stored`), or an older copy, which a row speaks for.

    Of an older copy nothing but its size was looked at, so its row keeps what it says of the file and its verification,
    and the push counts only while that very row is there: with the row, the collector may have taken the file.
    """

    key: str
    row_id: int
    size: int
    stored: StoredBlob | None

    @classmethod
    def new(cls, stored: StoredBlob) -> _Copy:
        """Say that these bytes were published a moment ago."""
        return cls(stored.key, 0, stored.size, stored)


@dataclass(frozen=True, slots=True)
class Uploads:
    """The upload sessions of all repositories."""

    metadata: Database
    work: Database
    store: BlobStore
    lookup: Lookup
    settings: RegistrySettings

    async def start(
        self,
        name: RepositoryName,
        *,
        principal: str,
        actor: Actor,
        counted_for: str | None = None,
        algorithm: str = "sha256",
        session_id: str | None = None,
    ) -> UploadSession:
        """Open a session; `principal` is the only one who may use it. `session_id` is a new one of ours.

        It counts for the principal, or for `counted_for` where many clients are one principal.

        Raises:
            NameUnknown: The project does not exist and the actor may not create it.
            QuotaExceeded: The project has no room already.
            TooManyRequests: Whom it counts for, or all together, have too many sessions open.
            InsufficientStorage: The disk is full.
            Unsupported: The registry is read-only.
        """
        self.settings.require_writable()
        self.settings.require_room()
        await require_project(self.metadata, name, actor)
        await with_room(self.settings.make_room, partial(self._require_space, name))
        counted_for = counted_for or principal
        await self._require_room(counted_for, is_address=counted_for != principal)
        session_id = session_id or new_session_id()
        begun = await self.store.start_upload(session_id)
        add = partial(
            upload_sessions.add,
            session_id=session_id,
            repository=name,
            principal=principal,
            counted_for=counted_for,
            algorithm=algorithm,
            store_state=begun.state,
        )
        try:
            await self.work.write(add, name="start upload")
        except BaseException:  # on a full disk, an empty file for each refused try would take all inodes
            await self.store.cancel_upload(session_id, known=begun)
            raise
        return UploadSession(id=session_id, repository=name, offset=0, algorithm=algorithm)

    async def status(self, name: RepositoryName, session_id: str, *, principal: str) -> UploadSession:
        """Return an open session.

        Raises:
            BlobUploadUnknown: There is none of this id, repository and principal.
        """
        row = await self._row(name, session_id, principal)
        offset = await self.store.upload_size(session_id, known=_known(row))
        return UploadSession(id=session_id, repository=name, offset=offset, algorithm=row.algorithm)

    async def append(
        self,
        name: RepositoryName,
        session_id: str,
        chunks: AsyncIterator[bytes],
        *,
        principal: str,
        start: int | None = None,
    ) -> UploadSession:
        """Add bytes to a session; `start` is where the client believes they go.

        Raises:
            BlobUploadUnknown: There is no such session for this principal.
            InsufficientStorage: The disk is full; the session is cancelled.
            Unsupported: The registry is read-only.
            UploadRangeInvalid: The session stands elsewhere than at `start`, or is being appended to by somebody else.
        """
        self.settings.require_writable()
        row = await self._row(name, session_id, principal, UploadEvent.APPEND)
        progress = await self._append(row, chunks, start)
        return UploadSession(id=session_id, repository=name, offset=progress.offset, algorithm=row.algorithm)

    async def complete(
        self,
        name: RepositoryName,
        session_id: str,
        digest: Digest,
        chunks: AsyncIterator[bytes] | None = None,
        *,
        principal: str,
        actor: Actor,
        start: int | None = None,
    ) -> BlobRecord:
        """Make the session's bytes, with `chunks` as the last of them, a blob of the repository.

        Raises:
            BlobUploadUnknown: There is no such session for this principal.
            DigestInvalid: The bytes have another digest; the session stays open.
            InsufficientStorage: The disk is full; the session is cancelled.
            QuotaExceeded: The project has no room for it; the session is cancelled.
            Unavailable: The collector is deleting an old copy and does not come to an end, or took away these bytes.
            Unsupported: The registry is read-only.
            UploadRangeInvalid: The session stands elsewhere than at `start`.
        """
        self.settings.require_writable()
        row = await self._row(name, session_id, principal, UploadEvent.COMPLETE)
        if chunks is not None:
            progress = await self._append(row, chunks, start)
        else:
            await self._stands_at(row, start)
            progress = _known(row)
        sealed = await self.store.seal(session_id, digest, known=progress)
        if sealed.state is not None:  # from here on nobody ends the session as idle, and takes its bytes away
            await _Notes(self.work, session_id, progress.state).keep(sealed)
        record, is_published = await self._commit(name, session_id, digest, sealed, actor)
        await self._forget(session_id, None if is_published else sealed)
        return record

    async def cancel(self, name: RepositoryName, session_id: str, *, principal: str) -> None:
        """End a session and free its space.

        Raises:
            BlobUploadUnknown: There is no such session for this principal.
        """
        row = await self._row(name, session_id, principal, UploadEvent.CANCEL)
        await self._forget(session_id, replace(_known(row), hashed=None))

    async def _require_room(self, counted_for: str, *, is_address: bool) -> None:
        """Each session costs a file. One that its client forgot counts against it for an hour: clients get killed.

        At a bound of its own the oldest that never received anything makes room: those that are only opened to fill it
        stop nobody for longer than a minute. What addresses have open fills half of what all may have, and makes room
        for others: strangers stop no account.
        """
        most, most_in_all = self.settings.max_open_uploads, self.settings.max_open_uploads_in_all
        most_of_addresses = most_in_all // 2
        opened = await upload_sessions.open_of(
            self.work,
            counted_for,
            since=clock.after(-HOUR),
            most=most,
            most_of_addresses=most_of_addresses,
            most_in_all=most_in_all,
        )
        if opened.mine >= most:
            if await self._drop_empty_of(counted_for):
                return
            raise TooManyRequests(
                _RETRY_SECONDS,
                f"{opened.mine:,} uploads of this account or address are open; complete or cancel (DELETE) some, "
                "then push again.",
            )
        if opened.in_all >= most_in_all:
            open_ones, advice = f"{opened.in_all:,} uploads are", "push again later"
        elif is_address and opened.of_addresses >= most_of_addresses:
            open_ones = f"{opened.of_addresses:,} uploads of clients without an account are"
            advice = "sign in, or push again later"
        else:
            return
        if not await self._drop_one_of_addresses():
            raise TooManyRequests(
                _RETRY_SECONDS,
                f"{open_ones} open, which is all there may be; {advice}. "
                "Forgotten ones go after storage.maintenance.uploadpurging.age.",
            )

    async def _drop_empty_of(self, counted_for: str) -> bool:
        before = clock.after(-_EMPTY_SECONDS)
        oldest = await upload_sessions.oldest_empty_of(self.work, counted_for, before=before, limit=_LOOKS)
        return await self._drop_one(oldest)

    async def _drop_one_of_addresses(self) -> bool:
        """End the oldest that never received anything or, without one, that nobody used for an hour.

        An account's own make room for that account alone.
        """
        before = clock.after(-_EMPTY_SECONDS)
        oldest = await upload_sessions.oldest_empty_of_addresses(self.work, before=before, limit=_LOOKS)
        if await self._drop_one(oldest):
            return True
        before = clock.after(-HOUR)
        oldest = await upload_sessions.idle_of_addresses(self.work, before=before, limit=_LOOKS)
        if await self._drop_one(oldest, before=before):
            return True
        if oldest:  # All are in use, which their rows did not say: the next look goes on behind them.
            await self.work.write(partial(upload_sessions.touch, ids=oldest), name="uploads in use")
        return False

    async def _drop_one(self, candidates: list[str], *, before: int = 0) -> bool:
        """End the first without bytes, or with none since `before`, that no request is at work on.

        Its row does not say what goes on: it is written when a request ends.
        """
        for session_id in candidates:
            if self.store.has_state:
                taken = await self.work.write(
                    partial(upload_sessions.take, ids=[session_id], before=before or clock.after(-_EMPTY_SECONDS)),
                    name="end idle upload",
                )
                if session_id in taken:
                    await self._drop(session_id, UploadProgress(offset=0, hashed=None, state=taken[session_id]))
                    return True
            elif await self.store.cancel_idle_upload(session_id, before=before):
                await self.work.write(partial(upload_sessions.remove, ids=[session_id]), name="end idle upload")
                return True
        return False

    async def _row(
        self, name: RepositoryName, session_id: str, principal: str, event: UploadEvent | None = None
    ) -> upload_sessions.SessionRow:
        """A session of somebody else, or of another repository, does not exist for the caller.

        What ends a session removes its row, so a row that cannot take `event` was left by a process that died in it.
        """
        row = await upload_sessions.find(self.work, session_id)
        if row is None or row.repository != name or row.principal != principal:
            raise BlobUploadUnknown(detail={"id": session_id[:64]})
        if event is not None:
            advance(row.state, event)
        return row

    async def _stands_at(self, row: upload_sessions.SessionRow, start: int | None) -> int:
        """Return the session's offset, which must be `start` where the client says what it believes."""
        offset = await self.store.upload_size(row.id, known=_known(row))
        if start is not None and start != offset:
            raise UploadRangeInvalid(offset)
        return offset

    async def _append(
        self, row: upload_sessions.SessionRow, chunks: AsyncIterator[bytes], start: int | None
    ) -> UploadProgress:
        offset = await self._stands_at(row, start)
        notes = _Notes(self.work, row.id, row.store_state)
        try:
            progress = await self.store.append(
                row.id,
                chunks,
                offset=offset,
                algorithm=row.algorithm,
                known=_known(row),
                keep=notes.keep,
                owner=row.principal,
            )
            await notes.keep(progress)
        except BlobUploadUnknown:
            if notes.unkept is not None:  # cancelled meanwhile, by somebody who did not know of these bytes
                await self._drop(row.id, replace(notes.unkept, hashed=None))
            raise
        return progress

    async def _commit(
        self, name: RepositoryName, session_id: str, digest: Digest, sealed: UploadProgress, actor: Actor
    ) -> tuple[BlobRecord, bool]:
        """Publish the sealed bytes and write their row, in whichever order the blob's present state asks for.

        Returns:
            The blob, and whether it has these bytes: where another copy is used they are not needed.
        """
        size = sealed.offset
        await self.lookup.prepare(name, WantedBlob(digest))
        project = await self._with_room_for(name, session_id, digest, sealed)
        deadline = asyncio.get_running_loop().time() + self.settings.deleting_wait_seconds
        while True:
            copy = await self._place(session_id, digest, sealed)
            if copy is not None:
                link = partial(self._link, name, digest, copy, actor, project)
                if await self.metadata.write(link, name="commit blob"):
                    # Under a key of their own, which was no blob's before, nobody takes the bytes away.
                    if (self.store.has_state and not sealed.sealed_before) or await self._is_there(copy.key, size):
                        return BlobRecord(digest, size, copy.key), copy.stored is not None
                    await self._take_back(session_id, digest, copy)
                elif copy.stored is not None:
                    await self._give_up(session_id)
            if asyncio.get_running_loop().time() > deadline:
                raise Unavailable(5, "An old copy of this blob is being deleted; push it again in a moment.")
            await asyncio.sleep(_DELETING_POLL)

    async def _require_space(self, name: RepositoryName) -> None:
        if (project := await limited(self.metadata, name)) is not None:
            project.require_room()

    async def _with_room_for(
        self, name: RepositoryName, session_id: str, digest: Digest, sealed: UploadProgress
    ) -> Limited | None:
        """Return the project if its bytes are limited; end the session when it has no room, and none can be made."""

        async def attempt() -> Limited | None:
            if (project := await limited(self.metadata, name)) is not None:
                await project.require_room_for(self.metadata, str(digest), sealed.offset)
            return project

        try:
            return await with_room(self.settings.make_room, attempt)
        except QuotaExceeded:
            await self._forget(session_id, sealed)
            raise

    async def _is_there(self, key: str, size: int) -> bool:
        try:
            return (await self.store.stat(key)).size == size
        except BlobUnknown:
            return False

    async def _take_back(self, session_id: str, digest: Digest, copy: _Copy) -> None:
        """Note that the bytes of a blob went while it was committed.

        That happens when this process stood still for longer than the grace between publishing and committing: to the
        collector, bytes without a row were left behind. Bytes that the session still has are published next.

        Raises:
            Unavailable: It was this upload's own bytes that went.
        """
        seen = await blobs.stored_as(self.metadata, str(digest))
        # Looked at after its generation is known: a push that brings it back meanwhile raises that.
        if seen is not None and not await self._is_there(seen.storage_key, seen.size):
            await self.metadata.write(partial(blobs.set_state, seen=seen, state=blobs.MISSING), name="take blob back")
        if copy.stored is not None:
            await self._give_up(session_id)

    async def _give_up(self, session_id: str) -> NoReturn:
        """End a session whose bytes have left it, and went or may go with an old copy of them.

        Raises:
            Unavailable: Always.
        """
        await self._forget(session_id, None)
        raise Unavailable(1, "The blob was taken away while it was being stored; push it again.")

    async def _place(self, session_id: str, digest: Digest, sealed: UploadProgress) -> _Copy | None:
        """Return where the bytes are; None while the collector is deleting an old copy in the way of them.

        A copy that is already there and whole is used; one that is missing, damaged or suspect is replaced.
        """
        row = await blobs.find(self.metadata, str(digest))
        if row is not None and row.state == blobs.DELETING and not self.store.has_state:
            return None
        if row is not None and row.state in (blobs.LIVE, blobs.MARKED):
            try:
                stored = await self.store.stat(row.storage_key)
            except BlobUnknown:
                stored = None
            if stored is not None and stored.size == sealed.offset == row.size and not self._is_suspect(row, stored):
                return _Copy(row.storage_key, row.id, stored.size, None)
        return _Copy.new(await self.store.publish(session_id, digest, known=sealed))

    def _is_suspect(self, row: blobs.BlobRow, stored: StoredBlob) -> bool:
        return row.etag != stored.etag or self.settings.suspicion.of(row, stored.inode, stored.mtime_ns)

    async def _link(
        self,
        name: RepositoryName,
        digest: Digest,
        copy: _Copy,
        actor: Actor,
        project: Limited | None,
        tx: Transaction,
    ) -> bool:
        """Give the blob to the repository; False when the copy that was to be used went away meanwhile."""
        await require_project(tx, name, actor)
        known = await blobs.find(tx, str(digest))
        queued = known is None or known.review_after is not None
        until = clock.after(self.settings.grace_seconds) if queued else None
        blob_id = await self._make_live(tx, digest, copy, until)
        if blob_id is None:
            return False
        if known is not None and known.state in blobs.LOST:
            await heal(tx, blob_id, str(digest), by=_PUSH)
        if known is not None:
            await usage_recount.resized(tx, blob_id, copy.size - known.size)
        repository = await ensure_repository(tx, name)
        if await repository_blobs.link(tx, repository.id, blob_id):
            await outbox.add(tx, outbox.BLOB_LINKED, repository=repository.name, digest=str(digest))
            if project is not None:
                await project.reserve(tx, blob_id, copy.size, seconds=self.settings.grace_seconds)
        if until is not None:
            await review.add(tx, review.BLOB, [blob_id], after=until, reason="blob committed")
        return True

    async def _make_live(self, tx: Transaction, digest: Digest, copy: _Copy, until: int | None) -> int | None:
        """Return the row id of the blob, None while the collector is deleting it or when the old copy is gone."""
        if copy.stored is None:
            return copy.row_id if await blobs.keep(tx, [copy.row_id], review_after=until) else None
        return await blobs.put(
            tx,
            str(digest),
            size=copy.stored.size,
            storage_key=copy.stored.key,
            review_after=until,
            inode=copy.stored.inode,
            mtime_ns=copy.stored.mtime_ns,
            etag=copy.stored.etag,
            is_new_key=self.store.has_state,
        )

    async def _forget(self, session_id: str, known: UploadProgress | None) -> None:
        """End a session, whose bytes go unless nothing is `known` of any that are left.

        Where they have a state, its row goes first: whoever has come further with it meanwhile keeps both.
        """
        if known is None or known.state is None:
            await self.store.cancel_upload(session_id, known=None)
            await self.work.write(partial(upload_sessions.remove, ids=[session_id]), name="end upload")
        elif await self.work.write(
            partial(upload_sessions.end, session_id=session_id, seen=known.state), name="end upload"
        ):
            await self._drop(session_id, known)

    async def _drop(self, session_id: str, known: UploadProgress) -> None:
        """Free the space of a session whose row is gone; what others verified they may be about to commit."""
        if not await became_blob(self.metadata, session_id):
            await self.store.cancel_upload(session_id, known=known)


@dataclass(slots=True)
class _Notes:
    """Keeps the progress of an append in the session's row."""

    work: Database
    session_id: str
    seen: str | None  #: the store's state as the row has it
    unkept: UploadProgress | None = None  #: what could not be kept

    async def keep(self, progress: UploadProgress) -> None:
        """Keep how far it has come.

        Raises:
            BlobUploadUnknown: The session was ended meanwhile.
            UploadRangeInvalid: Another append has come further, and counts.
        """
        hashed = upload_sessions.Hashed(progress.offset, None if progress.hashed is None else str(progress.hashed))
        if progress.state is None or self.seen is None:
            note = partial(upload_sessions.progress, session_id=self.session_id, hashed=hashed)
            await self.work.write(note, name="append to upload")
            return
        self.unkept = progress
        advance = partial(
            upload_sessions.advance, session_id=self.session_id, hashed=hashed, seen=self.seen, state=progress.state
        )
        if not await self.work.write(advance, name="append to upload"):
            row = await upload_sessions.find(self.work, self.session_id)
            if row is None:
                raise BlobUploadUnknown(detail={"id": self.session_id[:64]})
            raise UploadRangeInvalid(row.hashed_offset, "another request wrote to this upload; ask for its status")
        self.seen, self.unkept = progress.state, None


def new_session_id() -> str:
    """Make the id of a session: nobody guesses it."""
    return secrets.token_urlsafe(24)


async def became_blob(metadata: Database, session_id: str) -> bool:
    """Tell whether an object of a session is a blob: who committed it may have died before the session was ended.

    What else such a session has in the object store goes as a stray.
    """
    return await blobs.has_any_of(metadata, layout.objects_of(layout.UploadId.parse(session_id)))


def _known(row: upload_sessions.SessionRow) -> UploadProgress:
    hashed = None if row.hashed_digest is None else Digest.parse(row.hashed_digest)
    return UploadProgress(offset=row.hashed_offset, hashed=hashed, state=row.store_state)
