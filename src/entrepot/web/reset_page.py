"""`/c/reset_password`: where the link leads that an administrator made for somebody who is to choose a password."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from html import escape
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlencode

from entrepot.access.faults import Forbidden, Invalid
from entrepot.access.model import ANONYMOUS
from entrepot.metadata.events import Source
from entrepot.web.form import FormInvalid, read_form
from entrepot.web.http import Request
from entrepot.web.pages import ACCOUNT_PATH, Frame, alert, page, taken_query
from entrepot.web.responses import Response
from entrepot.web.router import Route
from entrepot.web.services import Services
from entrepot.web.session.gate import SessionGate

if TYPE_CHECKING:
    from entrepot.accounts.user_passwords import UserPasswords

RESET_PATH: Final = "/c/reset_password"
_TOKEN: Final = "token"  # noqa: S105 - the name of a field
_MOST_PARAMETERS: Final = 20


def reset_path(token: str) -> str:
    """Return path and query of a link, below `http.prefix`."""
    return f"{RESET_PATH}?{urlencode({_TOKEN: token})}"


class ResetPage:
    """The page; `build` makes what it works with when the first browser comes."""

    def __init__(self, gate: SessionGate, build: Callable[[], UserPasswords]) -> None:
        self._gate = gate
        self._build = build
        self._passwords: UserPasswords | None = None

    def routes(self) -> Mapping[str, Route]:
        """Return the route."""
        return {RESET_PATH: Route("reset_password", {"GET": self.show, "POST": self.set})}

    async def show(self, request: Request, services: Services) -> Response:
        """Show the form. Nothing happens yet: programs that look at links before people do use none up.

        Raises:
            PlainHttp: The password would travel in the clear.
        """
        self._gate.cookies.require_private(request)
        tokens = _tokens(taken_query(request))
        frame = Frame.of(request, services)
        if len(tokens) != 1:
            return _refusal("this link is cut off; copy all of it, or ask an administrator for another", frame)
        return _form(frame, tokens[0])

    async def set(self, request: Request, services: Services) -> Response:
        """Set the password.

        Raises:
            ForeignRequest: A page of another site sent the form.
            PlainHttp: The password has travelled in the clear.
        """
        self._gate.check_origin(request)
        self._gate.cookies.require_private(request)
        frame = Frame.of(request, services)
        try:
            form = await read_form(request)
        except FormInvalid as error:
            return _refusal(str(error), frame)
        token, chosen = form.get(_TOKEN, ""), form.get("password", "")
        if chosen != form.get("again", ""):
            return _form(frame, token, "the two passwords are not the same")
        by = Source(name=ANONYMOUS.name, address=request.client, credential="reset link", request=request.id)
        try:
            await (await self._use_cases()).use_reset_link(token, chosen, by=by)
        except Invalid as error:
            return _form(frame, token, str(error))
        except Forbidden as error:
            return _refusal(str(error), frame)
        words = frame.words
        body = f'<p><a href="{escape(frame.prefix + ACCOUNT_PATH)}">{words["password-set-what"]}</a></p>\n'
        return page(HTTPStatus.OK, words["password-set"], body, frame)

    async def _use_cases(self) -> UserPasswords:
        if self._passwords is None:
            self._passwords = await asyncio.to_thread(self._build)
        return self._passwords


def _form(frame: Frame, token: str, trouble: str = "") -> Response:
    words = frame.words
    fields = "".join(
        f'<div><label for="{name}">{words[label]}</label>\n<input id="{name}" name="{name}" type="password" '
        f'autocomplete="new-password" maxlength="256" required{" autofocus" if name == "password" else ""}></div>\n'
        for name, label in (("password", "new-password"), ("again", "same-again"))
    )
    body = (
        f'{alert(trouble)}<form method="post" action="{escape(frame.prefix + RESET_PATH)}">\n'
        f'<input type="hidden" name="{_TOKEN}" value="{escape(token)}">\n{fields}'
        f'<p><button class="primary" type="submit">{words["set-password"]}</button></p>\n</form>\n'
    )
    return page(HTTPStatus.BAD_REQUEST if trouble else HTTPStatus.OK, words["choose-password"], body, frame)


def _refusal(message: str, frame: Frame) -> Response:
    return page(HTTPStatus.FORBIDDEN, frame.words["password-not-set"], alert(message), frame)


def _tokens(query: str) -> list[str]:
    try:
        return parse_qs(query, max_num_fields=_MOST_PARAMETERS).get(_TOKEN, [])
    except ValueError:
        return []
