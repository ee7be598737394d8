"""Tokens of a CI service, over a real issuer: whom they let in, and every way in which they must not."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry

from entrepot.access.faults import Invalid
from entrepot.access.tokens.jwt import quietly
from entrepot.access.tokens.robot_trust import parse_trusts
from entrepot.accounts.robot_model import NewRobot, RobotChange, RobotWithSecret
from entrepot.jobs.robot_trust import RobotTrustCheck
from entrepot.metadata.database import Transaction
from entrepot.metadata.people import principals, robots
from tests.http.transport import Answer, AsgiClient
from tests.support.access_modes import basic, push, registry_with
from tests.support.accounts import Accounts, on_project
from tests.support.ci_issuer import CiIssuer, ci_issuer

AUDIENCE = "https://registry.example.org"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[CiIssuer]:
    """Run a CI service."""
    (tmp_path / "issuer").mkdir()
    with ci_issuer(tmp_path / "issuer") as running:
        yield running


@dataclass
class Federated:
    """A registry with a robot that trusts the CI service."""

    client: AsgiClient
    accounts: Accounts
    robot: RobotWithSecret

    @property
    def name(self) -> str:
        """The robot's whole name."""
        return self.robot.robot.name

    async def exchange(self, token: str, **form: str) -> Answer:
        """Exchange a token for one of the robot."""
        whole = {"grant_type": EXCHANGE, "subject_token_type": ID_TOKEN, "subject_token": token, "client_id": self.name}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self.client.post("/token", headers=headers, body=urlencode({**whole, **form}).encode())

    async def refused(self, token: str) -> str:
        """Fail to use a token, in each way there is, and return what the exchange said."""
        assert (await self.client.get("/token", headers=basic(self.name, token))).status == 401
        assert (await self.client.get("/v2/", headers={"Authorization": f"Bearer {token}"})).status == 401
        answer = await self.exchange(token)
        assert answer.status == 400
        assert answer.json()["error"] == "invalid_grant"
        return str(answer.json()["error_description"])


@pytest.fixture
async def registry(tmp_path: Path, issuer: CiIssuer) -> AsyncIterator[Federated]:
    """Run it; it may ask its own host, which by default no registry may."""
    environ = {"REGISTRY_OUTBOUND_ALLOW": '["127.0.0.1"]', "ENTREPOT_ADMIN_PASSWORD": "admin of the tests"}
    environ["REGISTRY_ACCESS_TOKEN_REFRESH"] = "true"
    async with registry_with(tmp_path / "data", None, environ) as running:
        accounts = await Accounts.of(running.app.stores.metadata)
        await accounts.project("demo")
        trust = {"issuer": issuer.url, "audience": AUDIENCE, "claims": {"repository": "acme/app"}}
        new = NewRobot(
            name="ci",
            project="demo",
            permissions=(on_project("demo", "pull,push", repositories="demo/app"),),
            trust=parse_trusts([trust]),
        )
        robot = await accounts.robots.create(new, acting=accounts.admin, by=accounts.by)
        yield Federated(running.client, accounts, robot)


def bearer(answer: Answer) -> dict[str, str]:
    """Return the header with the token of an answer."""
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def test_a_jobs_token_is_the_robots_password(registry: Federated, issuer: CiIssuer) -> None:
    """The way of `docker login`: the token endpoint takes it, and hands out no refresh token that would outlive it."""
    headers = basic(registry.name, issuer.token(AUDIENCE))
    answer = await registry.client.get("/token?offline_token=true&scope=repository:demo/app:pull,push", headers=headers)
    assert answer.status == 200
    assert "refresh_token" not in answer.json()
    assert await push(registry.client, "demo/app", bearer(answer)) == 201
    assert await push(registry.client, "demo/other", headers) == 401
    assert await push(registry.client, "demo/app", headers) == 201
    assert issuer.times_asked_for_keys == 1


async def test_an_exchange_for_scopes(registry: Federated, issuer: CiIssuer) -> None:
    """RFC 8693 and RFC 7523: the token has the part of the scopes that the robot may, and lives as short as others."""
    scope = "repository:demo/app:pull,push repository:demo/other:push"
    for form in ({}, {"grant_type": BEARER, "assertion": issuer.token(AUDIENCE)}):
        answer = await registry.exchange(issuer.token(AUDIENCE), scope=scope, **form)
        document = answer.json()
        assert answer.status == 200
        assert (document["scope"], document["token_type"], document["expires_in"]) == (
            "repository:demo/app:pull,push",
            "Bearer",
            300,
        )
        assert document["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
        assert "refresh_token" not in document
        assert await push(registry.client, "demo/app", bearer(answer)) == 201
        assert (await registry.client.get("/token", headers=bearer(answer))).status == 401
        assert (
            await registry.client.get("/token", headers=basic(registry.name, document["access_token"]))
        ).status == 401


async def test_an_exchange_without_scopes(registry: Federated, issuer: CiIssuer) -> None:
    """The token stands for the robot for a quarter of an hour: as Bearer, as password, and to ask for tokens."""
    answer = await registry.exchange(issuer.token(AUDIENCE))
    token = answer.json()["access_token"]
    assert answer.json()["expires_in"] == 900
    for headers in (bearer(answer), basic(registry.name, token)):
        assert (await registry.client.get("/v2/", headers=headers)).status == 200
        assert await push(registry.client, "demo/app", headers) == 201
        assert await push(registry.client, "demo/other", headers) == 401
        asked = await registry.client.get(
            "/token?offline_token=true&scope=repository:demo/app:pull,push", headers=headers
        )
        assert asked.status == 200
        assert "refresh_token" not in asked.json()
        assert await push(registry.client, "demo/app", bearer(asked)) == 201
    assert (await registry.client.get("/v2/", headers=basic("admin", token))).status == 401


@pytest.mark.parametrize("how", ["disabled", "removed", "trust taken back"])
async def test_what_was_exchanged_ends_with_the_trust(how: str, registry: Federated, issuer: CiIssuer) -> None:
    """A robot that is closed or gone, or trusts nobody any more, has its tokens refused at once for writes."""
    answer = await registry.exchange(issuer.token(AUDIENCE))
    assert await push(registry.client, "demo/app", bearer(answer)) == 201
    robots, number, admin = registry.accounts.robots, registry.robot.robot.id, registry.accounts.admin
    if how == "removed":
        await robots.remove(number, acting=None, by=registry.accounts.by)
    else:
        change = RobotChange(disabled=True) if how == "disabled" else RobotChange(trust=())
        await robots.update(number, change, acting=admin, by=registry.accounts.by)
    assert await push(registry.client, "demo/app", bearer(answer)) == 401
    await registry.refused(issuer.token(AUDIENCE))


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"repository": "mallory/app"}, "claim repository"),
        ({"repository": "acme/app2"}, "claim repository"),
        ({"repository": None}, "claim repository"),
        ({"repository": ["mallory/app"]}, "claim repository"),
        ({"aud": "https://other.example.org"}, "another service"),
        ({"aud": None}, "another service"),
        ({"aud": []}, "another service"),
        ({"iss": "https://token.actions.githubusercontent.com"}, "trusts no issuer"),
        ({"iss": None}, "iss is no text"),
        ({"iss": ""}, "names no issuer"),
        ({"exp": 1}, "expired"),
        ({"exp": None}, "exp is missing"),
        ({"exp": "2099"}, "exp is missing"),
        ({"nbf": int(time.time()) + 3600}, "not valid yet"),
    ],
)
async def test_claims_that_do_not_fit(claims: dict[str, Any], said: str, registry: Federated, issuer: CiIssuer) -> None:
    """A token of the right issuer lets in only the job that the robot trusts, and the job is told what is wrong."""
    assert said in await registry.refused(issuer.token(AUDIENCE, **claims))


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def crafted(issuer: CiIssuer, header: dict[str, Any], *, signer: RSAKey | ECKey | None = None) -> str:
    """Sign a token by hand, with whatever an attacker would write into its header."""
    claims = json.loads(base64.urlsafe_b64decode(issuer.token(AUDIENCE).split(".")[1] + "=="))
    algorithm = header.get("alg", "RS256")
    body = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"
    if algorithm == "HS256":
        secret = issuer.keys[0].as_pem(private=False)
        return f"{body}.{b64(hmac.digest(secret, body.encode(), hashlib.sha256))}"
    if algorithm not in ("RS256", "ES256"):
        return f"{body}."
    key = signer or issuer.keys[0]
    return f"{body}.{b64(_signature(body, key, algorithm))}"


def _signature(body: str, key: RSAKey | ECKey, algorithm: str) -> bytes:
    """Sign by the library's algorithms, without its checks of headers."""
    with quietly():
        return JWSRegistry.algorithms[algorithm].sign(body.encode(), key)


HEADERS: dict[str, dict[str, Any]] = {
    "no signature": {"alg": "none", "kid": "first"},
    "no signature, spelt otherwise": {"alg": "nOnE", "kid": "first"},
    "the public key as a shared secret": {"alg": "HS256", "kid": "first"},
    "an algorithm of another kind of key": {"alg": "ES256", "kid": "first"},
    "another algorithm of this kind of key": {"alg": "PS256", "kid": "first"},
    "a critical extension": {"alg": "RS256", "kid": "first", "crit": ["exp"], "exp": 1},
    "an unencoded payload": {"alg": "RS256", "kid": "first", "crit": ["b64"], "b64": False},
    "a key's address": {"alg": "RS256", "kid": "first", "jku": "http://127.0.0.1:1/keys.json"},
    "a certificate's address": {"alg": "RS256", "kid": "first", "x5u": "http://127.0.0.1:1/c.pem"},
    "compressed": {"alg": "RS256", "kid": "first", "zip": "DEF"},
    "an unknown key": {"alg": "RS256", "kid": "second"},
    "a path for a key": {"alg": "RS256", "kid": "../../etc/passwd"},
    "no text for a key": {"alg": "RS256", "kid": ["first"]},
    "no algorithm": {"kid": "first"},
}


@pytest.mark.parametrize("kind", HEADERS)
async def test_headers_that_want_another_rule(kind: str, registry: Federated, issuer: CiIssuer) -> None:
    """No header chooses how it is checked or with which key, however right the rest of the token is."""
    header = HEADERS[kind]
    signer = ECKey.generate_key("P-256", {"kid": "first"}) if header.get("alg") == "ES256" else None
    assert "may not ask" not in await registry.refused(crafted(issuer, header, signer=signer))


async def test_a_brought_key_is_not_believed(registry: Federated, issuer: CiIssuer) -> None:
    """A key in `jwk` under the id of the issuer's, or in no header, signs nothing; the issuer's own still does."""
    mine = RSAKey.generate_key(2048, {"kid": "first"})
    header = {"alg": "RS256", "kid": "first"}
    for more in ({}, {"jwk": mine.as_dict(private=False)}, {"x5c": ["AAAA"]}):
        await registry.refused(crafted(issuer, {**header, **more}, signer=mine))
    assert (await registry.exchange(crafted(issuer, header))).status == 200


async def test_cve_2026_48524_a_flood_of_key_ids_asks_the_issuer_once(registry: Federated, issuer: CiIssuer) -> None:
    """A hundred tokens with made-up key ids read the keys once more at most, and good tokens go on."""
    assert (await registry.exchange(issuer.token(AUDIENCE))).status == 200
    for number in range(100):
        token = crafted(issuer, {"alg": "RS256", "kid": f"made up {number}"})
        assert (await registry.exchange(token)).status == 400
    assert (await registry.exchange(issuer.token(AUDIENCE))).status == 200
    assert issuer.times_asked_for_keys <= 2


@pytest.mark.parametrize(
    "token", ["", "eyJ.x.y", "eyJhbGciOiJub25lIn0.e30.", "eyJ" + "A" * 60_000 + ".e30.x", "e30.e30", "\0"]
)
async def test_what_is_no_token(token: str, registry: Federated) -> None:
    """Text that cannot be read as a token is refused like a wrong password, and asks nobody."""
    answer = await registry.exchange(token)
    assert answer.status == 400
    assert answer.json()["error"] in ("invalid_grant", "invalid_request")


async def test_a_form_that_is_incomplete(registry: Federated, issuer: CiIssuer) -> None:
    """The robot must be named and the type of token be one that we know; the answer says so."""
    token = issuer.token(AUDIENCE)
    for form in (
        {"client_id": ""},
        {"subject_token": ""},
        {"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"},
    ):
        answer = await registry.exchange(token, **form)
        assert (answer.status, answer.json()["error"]) == (400, "invalid_request")
    unknown = await registry.exchange(token, client_id="robot$nobody")
    assert (unknown.status, unknown.json()["error"]) == (400, "invalid_grant")
    other = await registry.exchange(token, service="somebody.example.org")
    assert (other.status, other.json()["error"]) == (400, "invalid_target")


async def test_a_robot_without_trust_has_its_secret_alone(registry: Federated, issuer: CiIssuer) -> None:
    """No token speaks for it, and none is asked about; its secret signs in."""
    new = NewRobot(name="plain", project="demo", permissions=(on_project("demo", "pull"),))
    accounts = registry.accounts
    plain = await accounts.robots.create(new, acting=accounts.admin, by=accounts.by)
    token = issuer.token(AUDIENCE)
    assert (await registry.client.get("/token", headers=basic(plain.robot.name, token))).status == 401
    assert (await registry.exchange(token, client_id=plain.robot.name)).status == 400
    assert issuer.times_asked_for_keys == 0
    assert (await registry.client.get("/v2/", headers=basic(plain.robot.name, plain.secret))).status == 200


async def test_an_issuer_that_may_not_be_asked(tmp_path: Path, issuer: CiIssuer) -> None:
    """Unless an operator allowed it, an issuer in a private network is never connected to (CVE-2026-22772)."""
    async with registry_with(tmp_path / "data", None, {"ENTREPOT_ADMIN_PASSWORD": "admin of the tests"}) as running:
        accounts = await Accounts.of(running.app.stores.metadata)
        trust = {"issuer": issuer.url, "audience": AUDIENCE, "claims": {"repository": "acme/app"}}
        new = NewRobot(name="ci", trust=parse_trusts([trust]))
        robot = await accounts.robots.create(new, acting=accounts.admin, by=accounts.by)
        federated = Federated(running.client, accounts, robot)
        assert "may not ask" in await federated.refused(issuer.token(AUDIENCE))
        assert "GET" not in issuer.log.read_text()


async def test_an_issuer_that_is_down(registry: Federated, issuer: CiIssuer) -> None:
    """Nobody is let in on a token that cannot be checked; the client is told to come again (503)."""
    (issuer.folder / "keys.json").unlink()
    answer = await registry.exchange(issuer.token(AUDIENCE))
    assert answer.status == 503
    assert "cannot be asked for its keys" in answer.json()["errors"][0]["message"]
    assert answer["Retry-After"] == "10"
    assert (await registry.client.get("/token", headers=basic(registry.name, issuer.token(AUDIENCE)))).status == 503


async def test_an_ended_robot_is_nobody(registry: Federated, issuer: CiIssuer) -> None:
    """A robot whose days are over is refused with any token."""
    past = 1
    await registry.accounts.database.write(lambda tx: principals.set_expiry(tx, registry.robot.robot.id, past))
    await registry.refused(issuer.token(AUDIENCE))


async def test_a_trust_by_branch_alone_lets_nobody_in(
    registry: Federated, issuer: CiIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    """None can be made; one that an older version made refuses every token with the reason, and the log names it."""
    loose = {"issuer": issuer.url, "audience": AUDIENCE, "claims": {"ref": "refs/heads/main"}}
    accounts, robot = registry.accounts, registry.robot.robot
    for attempt in (
        accounts.robots.create(NewRobot(name="x", trust=parse_trusts([loose])), acting=accounts.admin, by=accounts.by),
        accounts.robots.update(
            robot.id, RobotChange(trust=parse_trusts([loose])), acting=accounts.admin, by=accounts.by
        ),
    ):
        with pytest.raises(Invalid, match=r"says whose jobs it means.*; add repository"):
            await attempt

    async def as_an_older_version(tx: Transaction) -> None:
        await robots.change(tx, robot.id, description="", duration=90, trust=json.dumps([loose]))

    await accounts.database.write(as_an_older_version)
    assert "none of its claims (ref)" in await registry.refused(issuer.token(AUDIENCE, repository="evil/fork"))
    assert "none of its claims (ref)" in await registry.refused(issuer.token(AUDIENCE))
    await RobotTrustCheck(accounts.database).run(asyncio.Event())
    (record,) = [entry for entry in caplog.records if entry.message == "a robot's trust needs a look"]
    assert record.__dict__["robot"] == robot.name
    found = await accounts.robots.find(robot.id)
    other = RobotChange(description="still changeable", trust=found.trust)
    await accounts.robots.update(robot.id, other, acting=accounts.admin, by=accounts.by)
