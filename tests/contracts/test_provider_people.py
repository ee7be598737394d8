"""People of sign-in providers: their accounts, groups and rights, and what happens when the provider is asked again."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import select

from entrepot.access.errors import CredentialsRefused
from entrepot.access.faults import NotFound
from entrepot.access.model import Principal
from entrepot.access.policy import Policy
from entrepot.access.roles import ensure_roles
from entrepot.access.web_sessions import Sessions
from entrepot.accounts.providers.account_checks import CHECKER, ProviderChecks, Tally
from entrepot.accounts.providers.mapping import Rules
from entrepot.accounts.providers.model import Grip, SignInRefused
from entrepot.accounts.providers.pending_sign_ins import Journeys, Strangers, Ticket
from entrepot.accounts.providers.people import People
from entrepot.accounts.providers.provider_tokens import Grips, Held
from entrepot.accounts.providers.sign_in import NameWanted, ProviderParts, ProviderSignIn, Visit, Welcome
from entrepot.metadata import clock, tables, work_tables
from entrepot.metadata.database import Database
from entrepot.metadata.people import grants, groups, memberships, principals, provider_tokens, users
from entrepot.metadata.query import Query, RawQuery
from entrepot.metadata.sealed import REFRESH, about
from entrepot.vault.master import KeySource
from entrepot.vault.rotation import rotate
from entrepot.vault.vault import Vault
from tests.support.databases import create_all
from tests.support.vouching import Vouching, VouchingSource

VISIT = Visit(address="192.0.2.7", agent="a browser", request="r1")
HOME = "https://registry.test"
_AGE = RawQuery("UPDATE users SET checked_at = checked_at - 3600000000 WHERE checked_at IS NOT NULL", "test.age")
_EVENTS = RawQuery("SELECT kind, subject, actor, result, detail FROM events ORDER BY id", "test.events")
_REFRESH = RawQuery("SELECT refresh FROM users WHERE refresh IS NOT NULL", "test.refresh")
_STRANGERS = Query(select(work_tables.strangers.c.payload), "test.strangers")


@dataclass(slots=True)
class Registry:
    """What is ours of a sign-in by a provider."""

    database: Database
    provider: Vouching
    vault: Vault
    source: KeySource
    sessions: Sessions
    others: list[Vouching] = field(default_factory=list)

    @property
    def people(self) -> People:
        """The writer of accounts."""
        return People(self.database)

    @property
    def grips(self) -> Grips:
        """What asks again."""
        return Grips(self.database, self.vault)

    @property
    def sign_in(self) -> ProviderSignIn:
        """The use cases."""
        parts = ProviderParts(
            people=self.people,
            grips=self.grips,
            sessions=self.sessions,
            journeys=Journeys(self.vault),
            strangers=Strangers(self.database, self.vault),
        )
        return ProviderSignIn(VouchingSource([self.provider, *self.others]), parts)

    async def come_back(self, subject: str, provider: Vouching | None = None) -> Welcome | NameWanted:
        """Go to the provider and come back as somebody."""
        name = (provider or self.provider).name
        departure = await self.sign_in.begin(name, f"{HOME}/c/oidc/callback/{name}", "/projects", VISIT)
        answer = {"state": departure.state, "code": subject}
        return await self.sign_in.complete(name, answer, departure.cookie, VISIT)

    async def enter(self, subject: str) -> Principal:
        """Sign in as somebody, and return who that is here."""
        welcome = await self.come_back(subject)
        assert isinstance(welcome, Welcome)
        session = await self.sessions.authenticate(welcome.session.cookie)
        assert session is not None
        return session.principal

    async def know_groups(self, *names: str, provider: str = "oidc:main") -> None:
        """Give groups of a provider a name here, as an administrator does."""
        for name in names:
            await self.database.write(lambda tx, n=name: groups.add(tx, n, provider=provider, subject=n))

    async def check(self) -> Tally:
        """Let an hour pass for the checks, and run them."""
        await self.database.write(lambda tx: tx.execute(_AGE))
        source = VouchingSource([self.provider, *self.others])
        checks = ProviderChecks(self.database, source, self.people, self.grips)
        return await checks.run(asyncio.Event())

    async def groups_of(self, user_id: int | None) -> list[str]:
        """List the names of the groups that somebody is in."""
        assert user_id is not None
        return [group.name for group in await memberships.groups_of(self.database, user_id)]

    async def events(self, kind: str) -> list[tuple[str, str, str, dict[str, object]]]:
        """List subject, actor, result and detail of events of a kind."""
        rows = await self.database.all(_EVENTS)
        return [(row[1], row[2], row[3], json.loads(row[4])) for row in rows if row[0] == kind]


@pytest.fixture
async def registry(database: Database, tmp_path: Path) -> Registry:
    """Give one with a provider that makes accounts unasked."""
    await create_all(database, tables.metadata)
    await create_all(database, work_tables.work_metadata)
    await ensure_roles(database)
    source = KeySource(tmp_path, {})
    provider = Vouching(rules=Rules(auto_onboard=True, admin_groups=frozenset({"admins"})))
    return Registry(database, provider, Vault(database, source), source, Sessions(database, database))


async def user(registry: Registry, name: str) -> users.UserRecord:
    found = await users.find(registry.database, name)
    assert found is not None
    return found


async def test_the_first_sign_in_makes_the_account(registry: Registry) -> None:
    """Name, e-mail address, real name and groups are the provider's; a session is open; the log has it all."""
    await registry.know_groups("devs", "/ops/night")
    registry.provider.add("7", "alice", "devs", "/ops/night", email="alice@example.org", realname="Alice A.")
    alice = await registry.enter("7")
    found = await user(registry, "alice")
    assert (found.email, found.realname, found.provider, found.subject) == (
        "alice@example.org",
        "Alice A.",
        "oidc:main",
        "7",
    )
    assert await registry.groups_of(alice.id) == ["/ops/night", "devs"]
    assert [event[:2] for event in await registry.events("create")] == [
        ("user:alice", "alice"),
    ]
    assert await registry.events("sign-in") == [("user:alice", "alice", "success", {"provider": "oidc:main"})]


async def test_a_later_sign_in_finds_the_account_by_what_never_changes(registry: Registry) -> None:
    """Somebody renamed at the provider stays who they are here; somebody else with their old name is somebody else."""
    registry.provider.add("7", "alice")
    alice = await registry.enter("7")
    registry.provider.add("7", "alice2", "new", email="new@example.org")
    again = await registry.enter("7")
    assert (again.id, again.name) == (alice.id, "alice")
    assert (await user(registry, "alice")).email == "new@example.org"
    registry.provider.add("8", "alice")
    assert isinstance(await registry.come_back("8"), NameWanted)


async def test_nobody_takes_over_a_name(registry: Registry) -> None:
    """A provider's `admin` is not ours: they are asked for another name, and one that is taken is refused again."""
    await registry.database.write(lambda tx: users.add(tx, "admin", secret="hash"))
    registry.provider.add("7", "admin")
    wanted = await registry.come_back("7")
    assert isinstance(wanted, NameWanted)
    assert wanted.suggestion == "admin"
    again = await registry.sign_in.choose(wanted.ticket, "admin", VISIT)
    assert isinstance(again, NameWanted)
    assert "there is an account named admin already" in again.problem
    capital = await registry.sign_in.choose(wanted.ticket, "Admin", VISIT)
    assert isinstance(capital, NameWanted)
    assert "differs by more than capitals" in capital.problem
    bad = await registry.sign_in.choose(wanted.ticket, "robot$x", VISIT)
    assert isinstance(bad, NameWanted)
    assert "a user name cannot have" in bad.problem
    welcome = await registry.sign_in.choose(wanted.ticket, "admin2", VISIT)
    assert isinstance(welcome, Welcome)
    assert (welcome.name, welcome.back_to) == ("admin2", "/projects")
    assert (await user(registry, "admin")).provider == "local"
    with pytest.raises(SignInRefused, match="begin again"):
        await registry.sign_in.choose(wanted.ticket, "admin3", VISIT)


async def test_without_auto_onboarding_everybody_chooses(registry: Registry) -> None:
    """The provider's name is a suggestion; nothing is made before the choice, and what was told waits sealed."""
    registry.provider.rules = Rules()
    registry.provider.add("7", "Alice Apple", email="alice@example.org")
    wanted = await registry.come_back("7")
    assert isinstance(wanted, NameWanted)
    assert (wanted.suggestion, wanted.title) == ("Alice Apple", "Main <login>")
    assert await users.find_by_subject(registry.database, "oidc:main", "7") is None
    [(payload,)] = await registry.database.all(_STRANGERS)
    assert payload.startswith("sealed:")
    assert "alice" not in payload.lower()
    assert isinstance(await registry.sign_in.choose(wanted.ticket, "apple", VISIT), Welcome)
    with pytest.raises(SignInRefused):
        await registry.sign_in.stranger(Ticket(secret="guessed"))


async def test_an_unusable_name_is_asked_for(registry: Registry) -> None:
    """A name that no account can have is no reason to fail: the person chooses."""
    registry.provider.add("7", "$$$:", email="::@x")
    wanted = await registry.come_back("7")
    assert isinstance(wanted, NameWanted)
    assert wanted.suggestion == ""


async def test_groups_follow_the_provider(registry: Registry) -> None:
    """Groups left out next time are left here, at sign-in and at the check; groups of ours stay (CVE-2025-23208)."""
    await registry.know_groups("devs", "ops", "qa")
    await registry.database.write(lambda tx: groups.add(tx, "own"))
    own = await groups.find(registry.database, "own")
    assert own is not None
    registry.provider.add("7", "alice", "devs", "ops")
    alice = await registry.enter("7")
    assert alice.id is not None
    alice_id = alice.id
    await registry.database.write(lambda tx: memberships.add(tx, alice_id, own.id))
    registry.provider.add("7", "alice", "ops", "qa")
    await registry.enter("7")
    assert await registry.groups_of(alice.id) == ["ops", "own", "qa"]
    registry.provider.add("7", "alice")
    assert (await registry.check()).confirmed == 1
    assert await registry.groups_of(alice.id) == ["own"]


async def test_a_team_that_nobody_made_known_is_no_group_here(registry: Registry) -> None:
    """Of all that a provider tells, groups count that were given a name here; the others leave no row."""
    registry.provider.add("7", "alice", "acme/web", "acme/ops", "football/juniors")
    alice = await registry.enter("7")
    assert await registry.groups_of(alice.id) == []
    assert await groups.by_subjects(registry.database, "oidc:main", ["acme/web", "football/juniors"]) == []
    await registry.know_groups("acme/web")
    await registry.check()
    assert await registry.groups_of(alice.id) == ["acme/web"]


async def test_a_group_of_ours_is_not_the_providers(registry: Registry) -> None:
    """A provider's group with the name of one of ours is another group: whoever names it gets no rights."""
    await registry.database.write(lambda tx: groups.add(tx, "admins-of-all"))
    registry.provider.add("7", "alice", "admins-of-all")
    alice = await registry.enter("7")
    assert await registry.groups_of(alice.id) == []


async def test_only_fitting_groups_count(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    """The filter is over whole names; a group that may not enter keeps its people out, with the reason in the log."""
    registry.provider.rules = Rules(auto_onboard=True, group_filter="reg-.*", allowed_groups=frozenset({"reg-users"}))
    await registry.know_groups("reg-users", "reg-a", "other", "xreg-b")
    registry.provider.add("7", "alice", "reg-users", "reg-a", "other", "xreg-b", "", " reg-c", "reg-\nx")
    assert await registry.groups_of((await registry.enter("7")).id) == ["reg-a", "reg-users"]
    registry.provider.add("8", "bob", "reg-a")
    with pytest.raises(SignInRefused, match="none of the groups"):
        await registry.come_back("8")
    [failure] = [event for event in await registry.events("sign-in") if event[2] == "failure"]
    assert "none of the groups" in str(failure[3]["reason"])
    assert "sign-in failed: by the provider 'main' from 192.0.2.7: you are in none of the groups" in caplog.text
    assert await users.find_by_subject(registry.database, "oidc:main", "8") is None


async def test_administrators_are_who_the_provider_says(registry: Registry) -> None:
    """The role comes and goes with the group; one that we gave by hand stays."""
    registry.provider.add("7", "alice", "admins")
    alice = await registry.enter("7")
    assert (await user(registry, "alice")).sysadmin
    registry.provider.add("7", "alice")
    await registry.check()
    assert not (await user(registry, "alice")).sysadmin
    alice_id = alice.id
    assert alice_id is not None
    await registry.database.write(lambda tx: grants.add(tx, principal_id=alice_id, role_id=100, origin="admin"))
    await registry.enter("7")
    assert (await user(registry, "alice")).sysadmin
    given = [event for event in await registry.events("grant") if event[3].get("role") == "systemAdmin"]
    taken = [event for event in await registry.events("revoke") if event[3].get("role") == "systemAdmin"]
    assert [len(given), len(taken)] == [1, 1]


async def test_what_was_open_ends_when_the_provider_makes_an_administrator(registry: Registry) -> None:
    """The session of before is over; the one of the sign-in that brought the right goes on."""
    registry.provider.add("7", "alice")
    before = await registry.enter("7")
    registry.provider.add("7", "alice", "admins")
    after = await registry.enter("7")
    policy = Policy(registry.database)
    assert [await policy.is_current(each, fresh=True) for each in (before, after)] == [False, True]


async def test_somebody_disabled_here_stays_out(registry: Registry) -> None:
    """No provider undoes what an administrator decided, and nobody is asked about them."""
    registry.provider.add("7", "alice")
    alice = await registry.enter("7")
    alice_id = alice.id
    assert alice_id is not None
    await registry.database.write(lambda tx: principals.set_disabled(tx, alice_id, disabled=True))
    with pytest.raises(SignInRefused, match="disabled here"):
        await registry.come_back("7")
    assert (await registry.check()).asked == 0
    assert (await user(registry, "alice")).disabled


async def test_somebody_removed_at_the_provider_is_out(registry: Registry) -> None:
    """One check closes the account and everything that is open; a sign-in that the provider allows opens it again."""
    registry.provider.add("7", "alice")
    welcome = await registry.come_back("7")
    assert isinstance(welcome, Welcome)
    policy = Policy(registry.database, max_age=0)
    session = await registry.sessions.authenticate(welcome.session.cookie)
    assert session is not None
    assert await policy.is_current(session.principal)
    removed = registry.provider.people.pop("7")
    tally = await registry.check()
    assert (tally.confirmed, tally.closed, tally.unanswered) == (0, 1, 0)
    assert await registry.sessions.authenticate(welcome.session.cookie) is None
    account = await user(registry, "alice")
    fresh = Principal(kind=session.principal.kind, name="alice", id=account.id, epoch=account.epoch)
    assert not await policy.is_current(session.principal)
    assert not await policy.is_current(fresh), "a key of the account must not go on"
    [closed] = [event for event in await registry.events("revoke") if "closed" in event[3]]
    assert closed[:2] == ("user:alice", "entrepot")
    assert (await registry.check()).asked == 0
    registry.provider.people["7"] = removed
    assert await policy.is_current(await registry.enter("7"))
    assert await policy.is_current(fresh)


async def test_without_a_lasting_grip_people_are_asked_about_while_one_lasts(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    """Then nobody is thrown out, and nobody stays for ever: the account ends as stated; log and account say so."""
    await registry.know_groups("devs", "ops")
    registry.provider.gives_passing_grip = True
    registry.provider.add("7", "alice", "devs")
    alice = await registry.enter("7")
    assert "a provider gave no refresh token" in caplog.text
    registry.provider.add("7", "alice", "ops")
    assert (await registry.check()).confirmed == 1
    assert await registry.groups_of(alice.id) == ["ops"]
    before = await user(registry, "alice")
    registry.provider.ended = {"7"}
    tally = await registry.check()
    assert (tally.lost, tally.closed, tally.unanswered) == (1, 0, 0)
    assert "can be asked about an account no more" in caplog.text
    after = await user(registry, "alice")
    assert (after.expires_at, after.checked_at) == (before.expires_at, None)
    assert (await registry.check()).asked == 0
    assert (await registry.grips.find(after.id)).hints == {"session of 7": "hint of 7"}
    await registry.enter("7")
    assert (await user(registry, "alice")).checked_at is not None


async def test_programs_of_schema_4_do_not_ask_with_a_passing_grip(registry: Registry) -> None:
    """They would take it for a refresh token and close the account; so it stands where they do not look."""
    registry.provider.gives_passing_grip = True
    registry.provider.add("7", "alice")
    alice = await registry.enter("7")
    assert alice.id is not None
    sealed = await provider_tokens.find(registry.database, alice.id)
    assert sealed is not None
    document = json.loads(await registry.vault.open(sealed, about(REFRESH, alice.id)))
    assert document["grip"] is None
    assert document["passing"]["token"].startswith("grip of 7")


async def test_somebody_who_may_no_longer_enter_is_out(registry: Registry) -> None:
    """Leaving the group that may enter closes the account at the next check, whatever became of the grip."""
    registry.provider.rules = Rules(auto_onboard=True, allowed_groups=frozenset({"users"}))
    registry.provider.add("7", "alice", "users")
    await registry.enter("7")
    registry.provider.add("7", "alice")
    assert (await registry.check()).closed == 1


async def test_a_provider_that_is_down_changes_nothing_until_the_time_is_over(registry: Registry) -> None:
    """Nobody is let in or thrown out on silence; after the stated time the account ends by itself."""
    registry.provider.add("7", "alice")
    alice = await registry.enter("7")
    before = await user(registry, "alice")
    registry.provider.down = {"*"}
    tally = await registry.check()
    assert (tally.closed, tally.unanswered) == (0, 1)
    assert (await user(registry, "alice")).expires_at == before.expires_at
    assert before.expires_at is not None
    assert abs(before.expires_at - clock.after(86_400)) < 60 * clock.MICROSECONDS
    alice_id = alice.id
    assert alice_id is not None
    await registry.database.write(lambda tx: principals.set_expiry(tx, alice_id, clock.now() - 1))
    assert not await Policy(registry.database, max_age=0).is_current(alice)
    registry.provider.down = set()
    assert (await registry.check()).confirmed == 1
    assert await Policy(registry.database, max_age=0).is_current(alice)


async def test_one_account_that_cannot_be_asked_about_keeps_nobody_waiting(registry: Registry) -> None:
    """A hundred people are all asked about although the first ones fail each time; who is not due is left alone."""
    for number in range(100):
        registry.provider.add(f"{number:03}", f"user{number:03}")
        await registry.enter(f"{number:03}")
    registry.provider.down = {f"{number:03}" for number in range(20)}
    assert (await registry.check()).asked == 100
    registry.provider.asked.clear()
    checks = ProviderChecks(registry.database, VouchingSource([registry.provider]), registry.people, registry.grips)
    again = await checks.run(asyncio.Event())
    assert (again.confirmed, again.unanswered) == (0, 20)
    assert sorted(registry.provider.asked) == sorted(registry.provider.down)


async def test_a_provider_that_is_down_is_left_after_the_first_page(registry: Registry) -> None:
    """When nobody of a page can be asked about, the round ends: the next one tries again."""
    for number in range(100):
        registry.provider.add(f"{number:03}", f"user{number:03}")
        await registry.enter(f"{number:03}")
    registry.provider.down = {"*"}
    assert (await registry.check()).unanswered == 64


async def test_each_answer_brings_the_next_grip(registry: Registry) -> None:
    """A provider that changes its token at each use is asked with the newest, time after time."""
    registry.provider.add("7", "alice")
    alice = await registry.enter("7")
    for turn in range(1, 4):
        assert alice.id is not None
        held = await registry.grips.find(alice.id)
        assert held.grip == Grip(token=f"grip of 7 {turn}")
        assert held.hints == {"session of 7": "hint of 7"}
        assert (await registry.check()).confirmed == 1
    [(sealed,)] = await registry.database.all(_REFRESH)
    assert sealed.startswith("sealed:")
    assert "grip" not in sealed


async def test_a_rotation_of_the_vaults_key_meanwhile_loses_no_grip(registry: Registry) -> None:
    """Sealed anew between question and answer, the text is still replaced; brought by a newer sign-in, it stays."""
    registry.provider.add("7", "alice")
    alice = await registry.enter("7")
    assert alice.id is not None
    sealed = await provider_tokens.find(registry.database, alice.id)
    assert sealed is not None
    used = Grip(token="grip of 7 1")
    resealed = await registry.vault.seal(
        await registry.vault.open(sealed, f"users.refresh:{alice.id}"), f"users.refresh:{alice.id}"
    )
    alice_id = alice.id
    await registry.database.write(lambda tx: provider_tokens.swap(tx, alice_id, old=sealed, new=resealed))
    await registry.grips.replace(alice.id, sealed, used, Grip(token="next"))
    assert (await registry.grips.find(alice.id)).grip == Grip(token="next")
    await registry.grips.replace(alice.id, resealed, used, Grip(token="too late"))
    assert (await registry.grips.find(alice.id)).grip == Grip(token="next")


async def test_a_sign_in_meanwhile_is_not_closed(registry: Registry) -> None:
    """A no that was about the grip of an earlier sign-in does not close an account whose owner has just come back."""
    registry.provider.add("7", "alice")
    alice = await registry.enter("7")
    assert alice.id is not None
    sealed = await provider_tokens.find(registry.database, alice.id)
    assert sealed is not None
    again = await registry.enter("7")
    await registry.people.close(alice.id, sealed, "gone", VISIT.source)
    assert await Policy(registry.database, max_age=0).is_current(again)


async def test_hints_are_few(registry: Registry) -> None:
    """What to say at the end of sessions is remembered for the newest ones."""
    held = Held(grip=None)
    for number in range(10):
        held = held.with_hint(f"s{number}", f"h{number}")
    assert dict(held.hints) == {"s6": "h6", "s7": "h7", "s8": "h8", "s9": "h9"}
    assert held.with_hint("s6", "new").hints["s6"] == "new"
    assert held.with_hint("", "x") is held


async def test_goodbye_is_said_where_one_came_from(registry: Registry) -> None:
    """A session's end leads to its own provider, with what that wants to hear; others lead nowhere."""
    other = Vouching(name="other", rules=Rules(auto_onboard=True))
    registry.others.append(other)
    registry.provider.add("7", "alice")
    welcome = await registry.come_back("7")
    assert isinstance(welcome, Welcome)
    session = await registry.sessions.authenticate(welcome.session.cookie)
    assert session is not None
    address = await registry.sign_in.farewell(session, f"{HOME}/")
    assert address == f"https://provider.test/end?hint=hint+of+7&back_to={HOME}/"
    local = await registry.sessions.open(session.principal, provider="local", address="", agent="")
    own = await registry.sessions.authenticate(local.cookie)
    assert own is not None
    assert await registry.sign_in.farewell(own, f"{HOME}/") == ""


async def test_two_providers_do_not_mix(registry: Registry) -> None:
    """The same subject of two providers is two people, their groups are two, and a journey belongs to one of them."""
    other = Vouching(name="other", rules=Rules(auto_onboard=True))
    registry.others.append(other)
    await registry.know_groups("devs")
    await registry.database.write(lambda tx: groups.add(tx, "their-devs", provider="oidc:other", subject="devs"))
    registry.provider.add("7", "alice", "devs")
    other.add("7", "bob", "devs")
    alice = await registry.enter("7")
    welcome = await registry.come_back("7", other)
    assert isinstance(welcome, Welcome)
    assert welcome.name == "bob"
    assert await registry.groups_of(alice.id) == ["devs"]
    assert await registry.groups_of((await user(registry, "bob")).id) == ["their-devs"]
    departure = await registry.sign_in.begin("main", f"{HOME}/c/oidc/callback/main", "/", VISIT)
    with pytest.raises(SignInRefused, match="another browser"):
        await registry.sign_in.complete("other", {"state": departure.state, "code": "7"}, departure.cookie, VISIT)
    with pytest.raises(NotFound, match="there are: main, other"):
        await registry.sign_in.begin("third", f"{HOME}/c/oidc/callback/third", "/", VISIT)


@pytest.mark.parametrize("wrong", ["state", "cookie", "none", "late"])
async def test_a_journey_is_one_browsers(registry: Registry, monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    """Another state, another browser's cookie or none, and an answer after ten minutes sign nobody in."""
    registry.provider.add("7", "alice")
    departure = await registry.sign_in.begin("main", f"{HOME}/c/oidc/callback/main", "/", VISIT)
    other = await registry.sign_in.begin("main", f"{HOME}/c/oidc/callback/main", "/", VISIT)
    answer, cookie = {"state": departure.state, "code": "7"}, departure.cookie
    if wrong == "state":
        answer["state"] = other.state
    cookie = {"cookie": other.cookie, "none": ""}.get(wrong, cookie)
    if wrong == "late":
        now = clock.now()
        monkeypatch.setattr(clock, "now", lambda: now + 601 * clock.MICROSECONDS)
    with pytest.raises(SignInRefused, match="begin again"):
        await registry.sign_in.complete("main", answer, cookie, VISIT)
    assert re.fullmatch(r"sealed:[\x21-\x3a\x3c-\x7e]+", departure.cookie), "a cookie's value has no blank or semicolon"


async def test_an_account_without_a_grip_lasts_its_time(registry: Registry) -> None:
    """Where a provider gives nothing to ask again with, nobody is asked about, and the account's end stands."""
    registry.provider.gives_grip = False
    registry.provider.add("7", "alice")
    await registry.enter("7")
    assert (await registry.check()).asked == 0
    assert (await user(registry, "alice")).expires_at is not None


async def test_a_session_needs_an_account_that_counts(registry: Registry) -> None:
    """Closed between the provider's answer and the session, nobody is signed in."""
    registry.provider.add("7", "alice")
    alice = await registry.enter("7")
    assert alice.id is not None
    alice_id = alice.id
    await registry.database.write(lambda tx: principals.end_sign_ins(tx, alice_id))
    with pytest.raises(CredentialsRefused):
        await registry.sessions.open(alice, provider="oidc:main", address="", agent="")


async def test_rotation_knows_where_grips_are(registry: Registry) -> None:
    """After a rotation of the data keys the provider is asked as before."""
    registry.provider.add("7", "alice")
    await registry.enter("7")
    await rotate(registry.database, registry.source, CHECKER)
    fresh = Registry(
        registry.database,
        registry.provider,
        Vault(registry.database, registry.source),
        registry.source,
        registry.sessions,
    )
    assert (await fresh.check()).confirmed == 1
