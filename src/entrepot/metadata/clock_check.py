"""Whether the wall clock agrees with what the registry knows of the time; while not, no data are removed for their age.

The only wall clock that can be trusted is one that went on as fast as CLOCK_BOOTTIME, which counts every second since
the machine was started, asleep or not, and which nobody can set. So the database keeps a note: what both clocks said at
one moment, and in which boot of the machine. Whoever wants to remove data for their age holds the clocks of now against
it (`reason`): nothing is kept in memory, so every process and command gives the same answer, and a registry that was
stopped for any time is told from a clock that jumped.

Across boots nobody knows how long the machine was off. A clock that is behind the note is wrong; one that is ahead by
any time is believed, but not at once: for ten minutes it may still be corrected, and nothing is removed meanwhile.

Where several hosts share a database (`clock.follow`) the wall clock is that of the database, and each host keeps a note
of its own, since its CLOCK_BOOTTIME means nothing to another. A host without one holds the clock against the latest
note of any; one whose own CLOCK_BOOTTIME stood still, as that of a virtual machine may, believes the others who just
now found the clock right.

ADR 17 says why, and where this ends. Credentials, sessions, grants and certificates always obey the clock.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from entrepot.metadata import clock, events, settings
from entrepot.metadata.database import Database, Reader, Transaction
from entrepot.metadata.engine.ballast import Reserve, with_reserve
from entrepot.metadata.events import Source

_log = logging.getLogger(__name__)

#: The setting that holds the note.
KEY: Final = "clock"
#: By so much the clocks may disagree: corrections this small bring no data to their end.
TOLERANCE_SECONDS: Final = 60.0
#: And by this part of the time between two looks, for a clock that is corrected by going faster or slower.
_SLEW: Final = 0.001
#: A machine that was off for longer than this gets time to have its clock corrected.
OFF_SECONDS: Final = 3600.0
SETTLE_SECONDS: Final = 600.0
#: How often the note is renewed while the clocks agree.
NOTE_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 1.0
#: A host whose note is older than this by the clock that it shared is gone.
_GONE_SECONDS: Final = 7 * 24 * 3600.0
#: Who tells of the clock in the audit log.
_REGISTRY: Final = Source(name="entrepot", credential="internal")
_WAY_OUT: Final = "If the clock is right now: entrepot clock accept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What this machine's clocks say at one moment."""

    boot: str  #: which start of the machine, or which time namespace of it: where CLOCK_BOOTTIME began
    boottime: float  #: CLOCK_BOOTTIME, in seconds
    wall: int  #: the wall clock, in microseconds since the epoch
    is_shared: bool = False  #: whether other hosts go by the same wall clock

    @classmethod
    def now(cls) -> Moment:
        """Ask the clocks."""
        boottime = clock.boottime() / clock.MICROSECONDS
        return cls(boot=_BOOT, boottime=boottime, wall=clock.now(), is_shared=clock.is_shared())

    @property
    def key(self) -> str:
        """Under which name the database keeps this host's note."""
        return f"{KEY} {self.boot}" if self.is_shared else KEY


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """The last moment at which the clock was believed, as the database keeps it."""

    boot: str
    boottime: float
    wall: int
    #: Until when (CLOCK_BOOTTIME) the clock may still be corrected after the machine was off; 0 for not.
    settles: float = 0.0
    #: And before what it must not be then.
    floor: int = 0
    #: The latest time that a clock in doubt has told: after another boot it is believed only if it was set back.
    doubted: int = 0

    @property
    def known(self) -> int:
        """The latest time that is beyond doubt: what the clock says while it may be corrected is not."""
        return self.floor if self.settles else self.wall

    def at(self, moment: Moment) -> int | None:
        """Return what the wall clock should say at a moment; None when nobody can know."""
        if self.boot != moment.boot:
            return None
        return self.wall + int((moment.boottime - self.boottime) * clock.MICROSECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is thought of the clock."""

    ahead: int = 0  #: microseconds by which it is ahead of what it should say, or (below 0) behind; 0: it agrees
    settling: float = 0.0  #: seconds for which it may still be corrected

    @property
    def reason(self) -> str | None:
        """Say why no data may be removed for their age now; None when they may."""
        if self.ahead:
            return (
                f"the clock is {_span(abs(self.ahead) / clock.MICROSECONDS)} "
                f"{'ahead of' if self.ahead > 0 else 'behind'} what it should say, and nothing is removed for its age "
                f"until they agree. {_WAY_OUT}"
            )
        if self.settling:
            return (
                "the machine was off for long, and nothing is removed for its age while its clock may still be "
                f"corrected, for {_span(self.settling)}. {_WAY_OUT}"
            )
        return None


def judge(note: Note | None, moment: Moment, last_event: int = 0) -> Verdict:
    """Hold the clocks against the note; without one, against the last time in the database."""
    if note is None:
        behind = moment.wall - last_event
        return Verdict(ahead=behind if behind < -_tolerance(0) else 0)
    expected = note.at(moment)
    if expected is None:
        return _across_boots(note, moment)
    ahead = moment.wall - expected
    if note.settles and moment.wall >= note.floor - _tolerance(0):
        if moment.boottime < note.settles:
            return Verdict(settling=note.settles - moment.boottime)
        if ahead < 0:  # nobody looked when it was corrected
            return Verdict()
    elapsed = max(0.0, moment.boottime - note.boottime)
    return Verdict(ahead=ahead) if abs(ahead) > _tolerance(elapsed) else Verdict()


def _across_boots(note: Note, moment: Moment) -> Verdict:
    if note.doubted and moment.wall >= note.doubted - _tolerance(0):
        return Verdict(ahead=note.doubted - note.wall)
    ahead = moment.wall - note.known
    if ahead < -_tolerance(0):
        return Verdict(ahead=ahead)
    return Verdict(settling=SETTLE_SECONDS if ahead > OFF_SECONDS * clock.MICROSECONDS else 0.0)


def _tolerance(elapsed: float) -> int:
    return int((TOLERANCE_SECONDS + _SLEW * elapsed) * clock.MICROSECONDS)


def successor(note: Note | None, moment: Moment, verdict: Verdict) -> Note:
    """Return what is to be noted next."""
    fresh = Note(boot=moment.boot, boottime=moment.boottime, wall=moment.wall)
    if note is None:
        return fresh
    if verdict.ahead:
        return replace(note, doubted=max(note.doubted, moment.wall) if verdict.ahead > 0 else note.doubted)
    if verdict.settling:
        return replace(fresh, settles=moment.boottime + verdict.settling, floor=note.known)
    return fresh


async def look(reader: Reader, now: Callable[[], Moment] = Moment.now) -> tuple[Note | None, Moment, Verdict]:
    """Return the note, the moment and what is thought of the clock."""
    moment = now()
    if moment.is_shared:
        note, others = await _shared_notes(reader, moment)
    else:
        text = await settings.find(reader, KEY)
        note, others = None if text is None else Note(**json.loads(text)), []
    last = 0 if note is not None else await events.last_time(reader)
    verdict = judge(note, moment, last)
    if verdict.ahead and any(_bears_out(other, moment) for other in others):
        verdict = Verdict()
    return note, moment, verdict


async def _shared_notes(reader: Reader, moment: Moment) -> tuple[Note | None, list[Note]]:
    """Return the note that counts for this host, its own or else the latest, and those of the other hosts."""
    texts = await settings.beginning_with(reader, f"{KEY} ")
    notes = {key: Note(**json.loads(text)) for key, text in texts.items()}
    own = notes.pop(moment.key, None)
    others = sorted(notes.values(), key=lambda note: max(note.doubted, note.wall))
    return own or (others[-1] if others else None), others


def _bears_out(note: Note, moment: Moment) -> bool:
    """Tell whether another host has just found the clock right."""
    age = (moment.wall - note.wall) / clock.MICROSECONDS
    return not note.doubted and not note.settles and -TOLERANCE_SECONDS <= age <= NOTE_SECONDS + TOLERANCE_SECONDS


async def reason(reader: Reader) -> str | None:
    """Say why no data may be removed for their age now; None when they may."""
    return (await look(reader))[2].reason


async def accept(database: Database, *, by: Source, now: Callable[[], Moment] = Moment.now) -> Verdict:
    """Believe the clock as it is from now on; return what was thought of it."""

    async def work(tx: Transaction) -> Verdict:
        _, moment, verdict = await look(tx, now)
        for key in await settings.beginning_with(tx, f"{KEY} "):
            await settings.remove(tx, key)  # the other hosts begin anew with what is believed now
        await _put(tx, moment, successor(None, moment, Verdict()))
        await _tell(tx, "accepted", verdict, by)
        return verdict

    return await database.write(work, name="accept the clock")


async def look_once(database: Database, now: Callable[[], Moment] = Moment.now) -> None:
    """Keep the note, as a command does before it removes data for their age: perhaps no server runs that does."""

    async def nothing_waits() -> None:
        return

    await ClockWatch(database, set_back=nothing_waits, now=now).look_quietly()


class ClockWatch:
    """Keeps the note, and says when doubt begins and when it ends. Each process with jobs has one."""

    def __init__(
        self,
        metadata: Database,
        *,
        set_back: Callable[[], Awaitable[None]],
        show: Callable[[Verdict], None] = lambda _verdict: None,
        now: Callable[[], Moment] = Moment.now,
    ) -> None:
        """Watch.

        Args:
            metadata: Where the note is.
            set_back: Called at the start, and whenever the wall clock was set back: what waits for a time that a
                wrong clock told would wait for long.
            show: Told each time what is thought of the clock.
            now: The clocks.
        """
        self._metadata = metadata
        self._set_back = set_back
        self._show = show
        self._now = now
        self._offset: float | None = None
        self._in_doubt: bool | None = None

    async def run(self) -> None:
        """Look once a second, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            await self.look_quietly()

    async def look_quietly(self) -> None:
        """Look once; a database that takes no note now keeps nothing else from its work."""
        try:
            with with_reserve(Reserve.USED):
                await self.look()
        except Exception:  # noqa: BLE001 - the next look is a second away
            _log.exception("the clock cannot be looked after")

    async def look(self) -> Verdict:
        """Look once."""
        note, moment, verdict = await look(self._metadata, self._now)
        self._show(verdict)
        if self._in_doubt != bool(verdict.ahead) or _is_due(note, moment, verdict):
            await self._metadata.write(self._renew, name="note the clock")
            self._in_doubt = bool(verdict.ahead)
        offset = moment.wall / clock.MICROSECONDS - moment.boottime
        if self._offset is None or offset < self._offset - TOLERANCE_SECONDS:
            await self._set_back()
        self._offset = offset
        return verdict

    async def _renew(self, tx: Transaction) -> None:
        note, moment, verdict = await look(tx, self._now)
        following = successor(note, moment, verdict)
        if note is None and verdict.ahead:
            following = Note(boot="", boottime=0.0, wall=moment.wall - verdict.ahead)
        await _put(tx, moment, following)
        await _forget_hosts(tx, moment, following)
        was_told = await settings.find(tx, _TOLD) is not None
        if verdict.ahead and not was_told:
            _log.error("%s", verdict.reason)
            await settings.put(tx, _TOLD, "")
            await _tell(tx, "in doubt", verdict, _REGISTRY)
        elif was_told and not verdict.ahead:
            _log.warning("the clock agrees again")
            await settings.remove(tx, _TOLD)
            await _tell(tx, "agrees again", verdict, _REGISTRY)


#: The setting that is there while doubt has been told.
_TOLD: Final = "clock.told"


def _is_due(note: Note | None, moment: Moment, verdict: Verdict) -> bool:
    """Tell whether the note is to be renewed."""
    if note is None:
        return True
    if verdict.ahead:
        return verdict.ahead > 0 and moment.wall - note.doubted > NOTE_SECONDS * clock.MICROSECONDS
    return note.boot != moment.boot or moment.boottime - note.boottime >= NOTE_SECONDS


async def _put(tx: Transaction, moment: Moment, note: Note) -> None:
    await settings.put(tx, moment.key, json.dumps(asdict(note)))


async def _forget_hosts(tx: Transaction, moment: Moment, own: Note) -> None:
    """Forget the notes of hosts that are gone, as each start of a machine leaves one."""
    if not moment.is_shared or own.doubted or own.settles:
        return
    for key, text in (await settings.beginning_with(tx, f"{KEY} ")).items():
        note = Note(**json.loads(text))
        if key != moment.key and own.wall - max(note.doubted, note.wall) > _GONE_SECONDS * clock.MICROSECONDS:
            await settings.remove(tx, key)


async def _tell(tx: Transaction, what: str, verdict: Verdict, by: Source) -> None:
    detail = {"alert": f"the clock: {what}", "ahead_seconds": round(verdict.ahead / clock.MICROSECONDS)}
    await events.add(tx, events.ALERT, by=by, subject="clock", detail=detail)


def _span(seconds: float) -> str:
    """Give a span of time as people say it."""
    for unit, length in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def _boot() -> str:
    """Name where CLOCK_BOOTTIME began: the start of the machine, and the time namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot = "unknown"
    try:
        return f"{boot} {Path('/proc/self/ns/time').readlink()}"
    except OSError:
        return boot


_BOOT: Final = _boot()
