"""Keyless CI: a token that an outside issuer signed for a job speaks for the robot that trusts it.

The robot is named by who asks. Its trust says which issuer to ask for keys, so nobody but its makers leads us anywhere.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from entrepot.access.errors import CredentialsRefused, TokenRefused
from entrepot.access.model import Principal, PrincipalKind
from entrepot.access.passwords.credentials import Basic
from entrepot.access.tokens.foreign_issuer import Issuer
from entrepot.access.tokens.jwt import looks_like_token, unverified_issuer
from entrepot.access.tokens.robot_trust import Trust, read_trusts
from entrepot.access.tokens.trust_binding import binding_of
from entrepot.access.ttl_cache import Memory
from entrepot.metadata import clock
from entrepot.metadata.database import Reader
from entrepot.metadata.people import robots
from entrepot.metadata.people.robots import RobotRecord
from entrepot.oci.errors import Unavailable
from entrepot.outbound.client import Requester
from entrepot.outbound.errors import OutboundError, TargetRefused

_log = logging.getLogger(__name__)
#: Issuers that are remembered, with their keys, and for how long without a question.
_ISSUERS = 200
_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A token that wants to speak for a robot."""

    robot: str
    token: str
    client: str

    def refused(self, why: str) -> CredentialsRefused:
        """Log why, and return what the job is told: its log is where somebody looks for the reason."""
        _log.warning("sign-in failed: outside token for robot %a from %s: %s", self.robot[:300], self.client, why)
        return CredentialsRefused(f"the token does not speak for this robot: {why}")


class Federation:
    """A `PartialVerifier` for outside tokens, sent as the password of a robot or for an exchange."""

    def __init__(
        self, database: Reader, requester: Requester, *, issuer: Callable[[Requester, str], Issuer] = Issuer
    ) -> None:
        self._database = database
        self._requester = requester
        self._issuer = issuer
        self._issuers: Memory[str, Issuer] = Memory(limit=_ISSUERS, seconds=_SECONDS)

    async def verify(self, basic: Basic, client: str) -> Principal | None:
        """See `PartialVerifier`; a robot without trust has a password like others."""
        if not looks_like_token(basic.password):
            return None
        robot = await robots.find_named(self._database, basic.username)
        if robot is None or robot.trust is None:
            return None
        return await self._judge(robot, _Attempt(basic.username, basic.password, client))

    async def exchange(self, name: str, token: str, client: str) -> Principal:
        """Return the robot of this name, if it trusts the token.

        Raises:
            CredentialsRefused: There is no such robot, or the token does not speak for it; the message says why.
            Unavailable: The issuer cannot be asked for its keys.
        """
        attempt = _Attempt(name, token, client)
        robot = await robots.find_named(self._database, name)
        if robot is None:
            raise attempt.refused("there is no such robot, or it trusts nobody")
        return await self._judge(robot, attempt)

    async def _judge(self, robot: RobotRecord, attempt: _Attempt) -> Principal:
        trusts = read_trusts(robot.trust)
        if robot.disabled or (robot.expires_at is not None and clock.now() >= robot.expires_at) or not trusts:
            raise attempt.refused("there is no such robot, or it trusts nobody")
        try:
            issuer = unverified_issuer(attempt.token)
            candidates = [trust for trust in trusts if trust.issuer == issuer]
            if not candidates:
                raise attempt.refused(f"it trusts no issuer {issuer[:200]!r}")
            await self._require_one(candidates, attempt)
        except TokenRefused as refused:
            raise attempt.refused(refused.message) from None
        return Principal(kind=PrincipalKind.ROBOT, name=robot.name, id=robot.id, epoch=robot.epoch, fleeting=True)

    async def _require_one(self, candidates: list[Trust], attempt: _Attempt) -> None:
        """Go on if one of the robot's trusts in this issuer fits; else say what kept the last of them."""
        refusal = ""
        for audience in dict.fromkeys(trust.audience for trust in candidates):
            try:
                claims = await self._claims(candidates[0].issuer, audience, attempt)
            except TokenRefused as refused:
                refusal = refused.message
                continue
            refusals = [_refusal(trust, claims) for trust in candidates if trust.audience == audience]
            if not all(refusals):
                return
            refusal = refusals[-1]
        raise attempt.refused(refusal)

    async def _claims(self, name: str, audience: str, attempt: _Attempt) -> dict[str, object]:
        issuer = self._issuers.find(name) or self._issuer(self._requester, name)
        self._issuers.put(name, issuer)
        try:
            return await issuer.claims(attempt.token, audience=audience)
        except TargetRefused as refused:
            _log.warning("the keys of %s cannot be asked for: %s", name, refused)
            raise attempt.refused(f"this registry may not ask {name} for its keys; its log says why") from None
        except OutboundError as error:
            _log.warning("the keys of %s cannot be asked for: %s", name, error)
            raise Unavailable(10, f"{name} cannot be asked for its keys now; try again in a moment") from None


def _refusal(trust: Trust, claims: dict[str, object]) -> str:
    """Say why a trust does not let a token in; one that was made before its kind was refused lets nobody in."""
    return trust.refusal(claims) or binding_of(trust).refusal
