"""What is to be changed here, given what the directory says now: compared without writing anything."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from entrepot.access.faults import Invalid
from entrepot.accounts.directory.model import PROVIDER, Person, is_own_id, subject_of_name
from entrepot.accounts.names import checked_email, checked_name, checked_text
from entrepot.metadata import clock
from entrepot.metadata.database import Reader
from entrepot.metadata.people import directory_people
from entrepot.metadata.people.directory_people import KnownPerson

#: How an administrator says that an account is for whoever has its name in the directory now.
_LET_IN: Final = "if it is the same person: entrepot user enable NAME"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is to be done about one person. Without changes and without a problem, nothing."""

    person: Person
    known: KnownPerson | None = None  #: the account; None for somebody who has none yet
    create: bool = False
    name: str = ""  #: the account's new name
    move: bool = False  #: the account is known by something else now: the entry's own id, or another DN
    profile: tuple[str | None, str] | None = None  #: e-mail address and real name
    opens: bool = False
    closes: str = ""  #: why
    regroup: bool = False
    admin: bool | None = None
    problem: str = ""  #: why the person has no account, or not the one that it should be
    unsure: str = ""  #: by what an account is known that may be the person's, as the directory does not say

    @property
    def changes(self) -> list[str]:
        """Say in words what is to be done."""
        if self.create:
            return ["account made", *(["made an administrator"] if self.admin else [])]
        said = {
            f"renamed to {self.name}": bool(self.name),
            f"moved to {self.person.subject}": self.move and not self.person.own_id,
            "known by the entry's own id": self.move and bool(self.person.own_id),
            "profile": self.profile is not None,
            "opened": self.opens,
            f"closed: {self.closes}": bool(self.closes),
            "groups": self.regroup,
            "made an administrator": self.admin is True,
            "no administrator any more": self.admin is False,
        }
        return [words for words, applies in said.items() if applies]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What the rows say about some people."""

    by_subject: dict[str, KnownPerson]
    by_name: dict[str, KnownPerson]
    groups: dict[int, frozenset[str]]
    admins: frozenset[int]
    rooted: frozenset[int]  #: of those that a DN alone speaks for: who has more than the directory gave


async def plan(reader: Reader, people: Sequence[Person], *, create: bool, gone: Iterable[str] = ()) -> list[Step]:
    """Compare people of the directory with their accounts.

    Args:
        reader: The metadata, or a transaction in which the steps are going to be taken.
        people: What the directory says.
        create: Whether people without an account get one.
        gone: DNs of which is known that the directory has them no more: accounts that are known by them, and have
            nothing but what the directory gave, may be somebody's who moved.
    """
    found = await _find(reader, people)
    moved = frozenset(gone)
    return [_step(person, found, create=create, gone=moved) for person in people]


async def _find(reader: Reader, people: Sequence[Person]) -> _Found:
    subjects = {subject for person in people for subject in (person.identity, person.subject)}
    by_subject = await directory_people.by_subjects(reader, PROVIDER, subjects)
    names = {name for person in people for name in (person.name, person.name.lower())}
    by_name = await directory_people.by_names(reader, names)
    ids = {known.id for known in (*by_subject, *by_name)}
    return _Found(
        by_subject={known.subject or "": known for known in by_subject},
        by_name={known.name: known for known in by_name},
        groups=dict(await directory_people.groups_of(reader, PROVIDER, ids)),
        admins=await directory_people.admins(reader, PROVIDER, ids),
        rooted=await directory_people.rooted(
            reader, PROVIDER, {known.id for known in (*by_subject, *by_name) if _is_doubtful(known, subjects)}
        ),
    )


def _is_doubtful(known: KnownPerson, subjects: Collection[str]) -> bool:
    """Tell whether a DN alone would have to say that an account is still the same person's: it is closed, or moved."""
    by_dn = known.provider == PROVIDER and not is_own_id(known.subject)
    return by_dn and (known.expires_at is not None or known.subject not in subjects)


def _step(person: Person, found: _Found, *, create: bool, gone: frozenset[str]) -> Step:
    known = found.by_subject.get(person.identity) or found.by_subject.get(person.subject)
    if known is None:
        return _stranger(person, found, create=create, gone=gone)
    if not person.refused and known.expires_at is not None and known.id in found.rooted:
        return Step(person=person, problem=f"the account was closed, and only a DN says whose it is; {_LET_IN}")
    others = (found.by_name.get(person.name), found.by_name.get(person.name.lower()))
    taken = any(other is not None and other.id != known.id for other in others)
    return _compare(person, known, found, taken=taken)


def _stranger(person: Person, found: _Found, *, create: bool, gone: frozenset[str]) -> Step:
    namesake = found.by_name.get(person.name) or found.by_name.get(person.name.lower())
    if namesake is None:
        return _newcomer(person, create=create)
    problem = _in_the_way(person, namesake, found, gone)
    if problem:
        unsure = is_own_id(namesake.subject) and not person.own_id
        return Step(person=person, problem=problem, unsure=namesake.subject or "" if unsure else "")
    return _compare(person, namesake, found, taken=False)


def _in_the_way(person: Person, namesake: KnownPerson, found: _Found, gone: frozenset[str]) -> str:
    """Say why an account of somebody's name is not theirs; nothing for that of somebody who moved."""
    theirs = f"the account of this name is that of {namesake.subject}"
    reasons = (
        (namesake.name != person.name, f"there is an account {namesake.name}, which differs by capitals alone"),
        (namesake.provider != PROVIDER, "there is an account of this name that is not the directory's"),
        (namesake.expires_at is not None, f"{theirs}, who left; remove it to let in another, or {_LET_IN}"),
        (namesake.subject == subject_of_name(namesake.name), ""),
        (is_own_id(namesake.subject) and not person.own_id, f"{theirs}, and the directory does not tell ids any more"),
        (namesake.subject not in gone or is_own_id(namesake.subject), theirs),
        (namesake.id in found.rooted, f"{theirs}, and has rights of its own, which do not follow a name"),
    )
    return next((reason for applies, reason in reasons if applies), "")


def _newcomer(person: Person, *, create: bool) -> Step:
    if not create or person.refused:
        return Step(person=person)
    try:
        checked_name(person.name)
    except Invalid as error:
        return Step(person=person, problem=str(error))
    return Step(
        person=person,
        create=True,
        profile=_profile(person),
        regroup=bool(person.groups),
        admin=True if person.is_admin else None,
    )


def _compare(person: Person, known: KnownPerson, found: _Found, *, taken: bool) -> Step:
    is_open = known.expires_at is None or known.expires_at > clock.now()
    if person.refused:
        return Step(person=person, known=known, closes=person.refused if is_open else "")
    renamed = known.name != person.name
    profile = _profile(person)
    is_admin = known.id in found.admins
    return Step(
        person=person,
        known=known,
        name=person.name if renamed and not taken else "",
        move=known.subject != person.identity,
        profile=profile if profile != (known.email, known.realname) else None,
        opens=not is_open,
        regroup={group.subject for group in person.groups} != found.groups.get(known.id, frozenset()),
        admin=person.is_admin if person.is_admin != is_admin else None,
        problem=f"stays {known.name}: there is another account {person.name}" if renamed and taken else "",
    )


def _profile(person: Person) -> tuple[str | None, str]:
    """Take what can be shown; what cannot is left out, for nobody should be locked out by a typing error."""
    try:
        email = checked_email(person.email)
    except Invalid:
        email = None
    try:
        return email, checked_text(person.realname, "real name")
    except Invalid:
        return email, ""
