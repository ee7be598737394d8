"""What the page of oneself looks like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from http import HTTPStatus
from typing import Final

from entrepot.access.second_factor.second_factors import Enrolment, Status
from entrepot.accounts.keys import NewKey
from entrepot.metadata import clock
from entrepot.metadata.people.api_keys import ApiKeyRecord
from entrepot.metadata.people.users import LOCAL, UserRecord
from entrepot.web.login import LOG_OUT_PATH
from entrepot.web.pages import ACCOUNT_PATH, Frame, alert, page
from entrepot.web.responses import BytesResponse
from entrepot.web.security_keys.page import PAGE_PATH as SECURITY_KEYS_PATH

KEY_PATH: Final = f"{ACCOUNT_PATH}/key"
PASSWORD_PATH: Final = f"{ACCOUNT_PATH}/password"
CODES_PATH: Final = f"{ACCOUNT_PATH}/codes"
#: Days for which a key may be made; the first is what is offered, and nothing stands for no end.
DAYS: Final = ("90", "30", "365", "")
#: What has to be done before anything else, by the text that says it.
MUST_CHANGE: Final = "must-change"
MUST_ENROL: Final = "must-enrol"


@dataclass(frozen=True, slots=True, kw_only=True)
class Myself:
    """Who looks at the page."""

    person: UserRecord
    token: str  #: what every form brings back
    keys: Sequence[ApiKeyRecord]
    factors: Status | None  #: None where a provider asks for them
    provider: str = ""  #: name for people of the sign-in provider that vouches for them
    must: str = ""  #: the text that says what has to be done before anything else


def own_page(me: Myself, frame: Frame, *, trouble: str = "", news: str = "", status: HTTPStatus) -> BytesResponse:
    """Return the page of somebody who is signed in."""
    words = frame.words
    said = f'<p class="flash ok" role="status">{words[news]}</p>\n' if news else ""
    must = f'<p class="flash warn" role="alert">{words[me.must]}</p>\n' if me.must else ""
    keys = "" if me.must else _keys(me, frame)
    factors = "" if me.must == MUST_CHANGE else _factors(me, frame)
    password = _password(me, frame) if me.person.provider == LOCAL else ""
    body = f"{alert(trouble)}{said}{must}{_who(me, frame)}{keys}{factors}{password}"
    return page(status, words["account"], body, frame)


def sign_in_page(
    ways: Mapping[str, str], frame: Frame, *, trouble: str = "", news: str = "", name: str = "", status: HTTPStatus
) -> BytesResponse:
    """Return the page of somebody who is not signed in; `ways` are the providers' titles by their addresses."""
    words = frame.words
    said = f'<p class="flash ok" role="status">{words[news]}</p>\n' if news else ""
    form = (
        f'<form method="post" action="{escape(frame.prefix + ACCOUNT_PATH)}">\n'
        f'<div><label for="name">{words["name"]}</label>\n<input id="name" name="principal" autocomplete="username" '
        f'autocapitalize="none" spellcheck="false" maxlength="255" value="{escape(name)}" required></div>\n'
        f'<div><label for="password">{words["password"]}</label>\n<input id="password" name="password" type="password" '
        'autocomplete="current-password" maxlength="256" required></div>\n'
        f'<div><label for="code">{words["code"]}</label>\n<input id="code" name="code" autocomplete="one-time-code" '
        'maxlength="64" aria-describedby="code-hint">\n'
        f'<p class="muted" id="code-hint">{words["code-hint"]}</p></div>\n'
        f'<p><button class="primary" type="submit">{words["sign-in"]}</button></p>\n</form>\n'
    )
    links = {address: escape(title) for address, title in ways.items()}
    links[frame.prefix + SECURITY_KEYS_PATH] = words["factors-go"]
    others = "".join(f'<li><a href="{escape(address)}">{title}</a></li>\n' for address, title in links.items())
    more = f'<h2>{words["other-ways"]}</h2>\n<ul class="ways">\n{others}</ul>\n'
    return page(status, words["sign-in"], f"{alert(trouble)}{said}{form}{more}", frame)


def question(me: Myself, key: ApiKeyRecord, what: str, frame: Frame) -> BytesResponse:
    """Return the page that asks before a key is renewed or removed, and says what it means."""
    words = frame.words
    style = "danger" if what == "remove" else "primary"
    body = (
        f'<form method="post" action="{escape(frame.prefix + KEY_PATH)}">\n<p>{words[f"{what}-what"]}</p>\n'
        f'{_hidden(token=me.token, id=str(key.id), do=what)}<p class="row">'
        f'<button class="{style}" type="submit">{words[what]}</button>\n'
        f'<a class="btn" href="{escape(frame.prefix + ACCOUNT_PATH)}">{words["keep"]}</a></p>\n</form>\n'
    )
    title = words[f"{what}-title"].replace("{name}", escape(key.name))
    return page(HTTPStatus.OK, title, body, frame)


def made_page(made: NewKey, person: UserRecord, host: str, frame: Frame) -> BytesResponse:
    """Return the page that shows a new key, this once."""
    words = frame.words
    login = f"docker login {host} -u {person.name}"
    body = (
        f"<section>\n<h2>{escape(made.record.name)}</h2>\n<p>{words['made-what']}</p>\n"
        f'<code class="secret">{escape(made.secret)}</code>\n<p>{words["made-login"]}</p>\n'
        f'<code class="secret">{escape(login)}</code>\n'
        f'<p><a class="btn" href="{escape(frame.prefix + ACCOUNT_PATH)}">{words["made-kept"]}</a></p>\n</section>\n'
    )
    return page(HTTPStatus.CREATED, words["made-title"], body, frame)


def _who(me: Myself, frame: Frame) -> str:
    words, person = frame.words, me.person
    facts = {
        "signed-in-as": escape(person.name),
        "realname": escape(person.realname),
        "email": escape(person.email or ""),
        "from": _way(me, words),
    }
    rows = "".join(f"<dt>{words[name]}</dt><dd>{value}</dd>\n" for name, value in facts.items() if value)
    notes = f"<p>{words['administrator']}</p>\n" if person.sysadmin else ""
    if person.provider.startswith("oidc:") and person.checked_at is None and person.expires_at is not None:
        until = words["until"].replace("{when}", _time(person.expires_at))
        notes += f'<p class="flash warn">{until}</p>\n'
    out = f'<p><a class="btn" href="{escape(frame.prefix + LOG_OUT_PATH)}">{words["sign-out"]}</a></p>\n'
    return f'<section>\n<dl class="kv">\n{rows}</dl>\n{notes}{out}</section>\n'


def _way(me: Myself, words: Mapping[str, str]) -> str:
    if me.provider:
        return escape(me.provider)
    return words["by-password"] if me.person.provider == LOCAL else words["by-directory"]


def _keys(me: Myself, frame: Frame) -> str:
    words = frame.words
    rows = "".join(_key(key, frame) for key in me.keys)
    listed = f'<ul class="list">\n{rows}</ul>\n' if rows else f"<p>{words['keys-none']}</p>\n"
    options = "".join(
        f'<option value="{days}">{words["days"].replace("{days}", days) if days else words["never"]}</option>'
        for days in DAYS
    )
    return (
        f'<section id="keys">\n<h2>{words["keys"]}</h2>\n<p class="muted">{words["keys-what"]}</p>\n{listed}'
        "</section>\n"
        f'<form method="post" action="{escape(frame.prefix + KEY_PATH)}">\n<h2>{words["make"]}</h2>\n'
        f'{_hidden(token=me.token, do="make")}<div><label for="key-name">{words["key-name"]}</label>\n'
        '<input id="key-name" name="name" maxlength="100" required></div>\n'
        f'<div><label for="days">{words["key-ends"]}</label>\n<select id="days" name="days">{options}</select></div>\n'
        f'<p><button class="primary" type="submit">{words["make"]}</button></p>\n</form>\n'
    )


def _key(key: ApiKeyRecord, frame: Frame) -> str:
    words = frame.words
    used = words["never-used"] if key.last_used_at is None else f"{words['used']} {_time(key.last_used_at)}"
    end = words["no-end"]
    if key.expires_at is not None:
        end = f"{words['ended' if key.expires_at <= clock.now() else 'ends']} {_time(key.expires_at)}"
    facts = [f"{words['made']} {_time(key.created_at)}", used, end, *([words["limited"]] if key.limits else [])]
    links = "".join(
        f'<a class="btn" href="{escape(frame.prefix + KEY_PATH)}?id={key.id}&amp;do={what}">{words[what]}</a>\n'
        for what in ("renew", "remove")
    )
    return (
        f"<li><div><b>{escape(key.name)}</b> <code>{escape(key.hint)}…</code>\n"
        f'<p class="muted">{"; ".join(facts)}</p></div>\n<div class="row">{links}</div></li>\n'
    )


def _factors(me: Myself, frame: Frame) -> str:
    words, found = frame.words, me.factors
    if found is None:
        lines = [words["factors-provider"]]
    elif not found.enabled:
        lines = [words["factors-none"]]
    else:
        lines = [words["factors-codes"]] if found.one_time_codes else []
        lines.append(words["factors-keys"].replace("{count}", str(found.security_keys)))
        lines.append(words["factors-left"].replace("{count}", str(found.recovery_codes)))
    said = "".join(f"<p>{line}</p>\n" for line in lines)
    link = f'<p><a class="btn" href="{escape(frame.prefix + SECURITY_KEYS_PATH)}">{words["factors-go"]}</a></p>\n'
    codes = "" if found is None else _codes(me, found, frame)
    return f"<section>\n<h2>{words['factors']}</h2>\n{said}{'' if found is None else link}{codes}</section>\n"


def _codes(me: Myself, found: Status, frame: Frame) -> str:
    """Return the forms about one-time codes and recovery codes."""
    words = frame.words
    begin = f'<form method="post" action="{escape(frame.prefix + CODES_PATH)}">\n{_hidden(token=me.token, do="begin")}'
    on = f'{begin}<p><button type="submit">{words["codes-on"]}</button></p>\n</form>\n'
    if not found.enabled or me.must:
        return "" if found.one_time_codes else on
    off = f'<button class="danger" name="do" value="disable">{words["codes-off"]}</button>\n'
    return ("" if found.one_time_codes else on) + (
        f'<form method="post" action="{escape(frame.prefix + CODES_PATH)}">\n{_hidden(token=me.token)}'
        f'<div><label for="one-code">{words["codes-one"]}</label>\n<input id="one-code" name="code" '
        'autocomplete="one-time-code" maxlength="64" required></div>\n<p class="row">'
        f'<button name="do" value="renew">{words["codes-renew"]}</button>\n{off if found.one_time_codes else ""}</p>\n'
        "</form>\n"
    )


def _password(me: Myself, frame: Frame) -> str:
    words = frame.words
    fields = "".join(
        f'<div><label for="{name}">{words[label]}</label>\n<input id="{name}" name="{name}" type="password" '
        f'autocomplete="{"current" if name == "old" else "new"}-password" maxlength="256" required></div>\n'
        for name, label in (("old", "old-password"), ("new", "new-password"), ("again", "same-again"))
    )
    return (
        f'<form method="post" action="{escape(frame.prefix + PASSWORD_PATH)}">\n<h2>{words["password-title"]}</h2>\n'
        f'{_hidden(token=me.token)}{fields}<p><button type="submit">{words["change-password"]}</button></p>\n</form>\n'
    )


def enrolment_page(me: Myself, frame: Frame, enrolment: Enrolment | None, *, trouble: str = "") -> BytesResponse:
    """Return the page on which an app is given its secret, and shows that it has it; without, the code is asked again.

    Whoever has a security key says the password, too.
    """
    words = frame.words
    given = f"<p>{words['codes-again']}</p>\n"
    if enrolment is not None:
        given = (
            f'<p>{words["codes-scan"]}</p>\n<code class="secret">{escape(enrolment.secret)}</code>\n'
            f'<p><a href="{escape(enrolment.uri)}">{words["codes-link"]}</a></p>\n'
        )
    password = ""
    if me.factors is not None and me.factors.security_keys:
        password = (
            f'<div><label for="password">{words["password"]}</label>\n<input id="password" name="password" '
            'type="password" autocomplete="current-password" maxlength="256" required></div>\n'
        )
    body = (
        f'{alert(trouble)}<form method="post" action="{escape(frame.prefix + CODES_PATH)}">\n{given}'
        f'{_hidden(token=me.token, do="confirm")}<div><label for="code">{words["codes-code"]}</label>\n'
        '<input id="code" name="code" inputmode="numeric" autocomplete="one-time-code" maxlength="64" required></div>\n'
        f'{password}<p class="row"><button class="primary" type="submit">{words["codes-confirm"]}</button>\n'
        f'<a class="btn" href="{escape(frame.prefix + ACCOUNT_PATH)}">{words["codes-began"]}</a></p>\n</form>\n'
    )
    status = HTTPStatus.BAD_REQUEST if trouble else HTTPStatus.OK
    return page(status, words["codes-title"], body, frame)


def recovery_page(codes: Sequence[str], frame: Frame) -> BytesResponse:
    """Return the page that shows recovery codes, this once."""
    words = frame.words
    listed = "\n".join(map(escape, codes))
    body = (
        f'<section>\n<p>{words["recovery-what"]}</p>\n<code class="secret">{listed}</code>\n'
        f'<p><a class="btn" href="{escape(frame.prefix + ACCOUNT_PATH)}">{words["made-kept"]}</a></p>\n</section>\n'
    )
    return page(HTTPStatus.OK, words["recovery-title"], body, frame)


def _hidden(**fields: str) -> str:
    return "".join(f'<input type="hidden" name="{name}" value="{escape(value)}">\n' for name, value in fields.items())


def _time(at: int) -> str:
    when = datetime.fromtimestamp(at / clock.MICROSECONDS, UTC)
    return f'<time datetime="{when:%Y-%m-%dT%H:%M:%SZ}">{when:%Y-%m-%d %H:%M} UTC</time>'
