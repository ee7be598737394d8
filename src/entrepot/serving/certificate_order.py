"""Getting a certificate by ACME (RFC 8555), in a process of its own, which ends with it.

Each name is proven by HTTP-01: the service asks for a file on port 80, and a small listener answers while it asks. One
process of all that serve from a data folder orders at a time; the others find its certificate.

The library asks the service by itself, past the one way out (`outbound`): whom it asks stands in the operator's file
alone. It obeys `HTTPS_PROXY`.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

from acme import challenges, client, crypto_util, errors, messages
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from josepy.jwa import ES256
from josepy.jwk import JWKEC

import entrepot
from entrepot.serving.certificate_challenge import answer_challenges
from entrepot.serving.certificate_renewal import OrderAttempts, in_pem, renewal_time
from entrepot.telemetry import logs
from entrepot.vault.private_file import create_once, replace

if TYPE_CHECKING:
    from entrepot.serving.settings import AcmeSettings
    from entrepot.telemetry.logs import LogSettings

_log = logging.getLogger(__name__)

#: The service asks each name from several places, and may be slow to issue.
_DEADLINE: Final = dt.timedelta(minutes=3)
_ANSWER_SECONDS: Final = 30


class _OrderFailed(Exception):
    """There is no certificate; the text says why and what to do."""


def run_order(settings: AcmeSettings, log: LogSettings) -> None:
    """Get a certificate and put it in its place. The process ends with 0 when there is one, and else with 1."""
    logs.configure(log)
    with _alone(settings) as alone:
        if not alone:
            _log.info("another process gets a certificate at this moment")
            sys.exit(1)
        attempts = OrderAttempts(settings)
        if renewal_time(settings.pair.read_bytes(), settings.hosts) > time.time() or attempts.pause() > 0:
            return  # another one got it, or failed just now
        try:
            attempts.count()  # before anything is asked: an order that is killed counts, too
            _order(settings)
            attempts.forget()
        except (_OrderFailed, OSError) as failed:  # the last where the folder cannot be written
            _log.error("no certificate (http.tls.letsencrypt)", extra={"reason": str(failed)})
            sys.exit(1)
    _log.info("certificate got", extra={"hosts": ", ".join(settings.hosts), "directory": settings.directory})


@contextmanager
def _alone(settings: AcmeSettings) -> Iterator[bool]:
    """Tell whether no other process orders for this folder; the kernel gives the lock up with the process."""
    handle = os.open(settings.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(handle)


def _order(settings: AcmeSettings) -> None:
    """Order a certificate and put it in its place, with its intermediates and its key.

    Raises:
        _OrderFailed: The service refuses, or cannot be reached or reach us.
    """
    key = in_pem(ec.generate_private_key(ec.SECP256R1()))
    try:
        service = _service(settings)
        order = service.new_order(crypto_util.make_csr(key, list(settings.hosts)))
        with _answering(settings, service, order):
            done = service.poll_and_finalize(order, dt.datetime.now() + _DEADLINE)  # noqa: DTZ005 - compared with the same
            # At once: nothing that happens on the open port can cost us the certificate.
            replace(settings.pair, done.fullchain_pem.encode() + b"\n" + key)
    except errors.ValidationError as error:
        raise _OrderFailed(_why_not_proven(error)) from error
    except (errors.Error, messages.Error, OSError) as error:  # the last is what the library raises without an answer
        raise _OrderFailed(f"{settings.directory}: {error!s:.500}") from error


def _service(settings: AcmeSettings) -> client.ClientV2:
    """Return the service, with our account there, which is made the first time."""
    path = settings.folder / "account.pem"
    create_once(path, lambda: in_pem(ec.generate_private_key(ec.SECP256R1())))
    account = JWKEC(key=load_pem_private_key(path.read_bytes(), None))
    agent = f"entrepot/{entrepot.__version__}"
    net = client.ClientNetwork(account, alg=ES256, user_agent=agent, timeout=_ANSWER_SECONDS)
    if settings.authority:
        trust: Any = settings.authority  # the path of a file will do as well, as for `requests` below
        net.verify_ssl = trust
    service = client.ClientV2(client.ClientV2.get_directory(settings.directory, net), net)
    new = messages.NewRegistration.from_data(email=settings.email or None, terms_of_service_agreed=True)
    try:
        service.new_account(new)
    except errors.ConflictError as known:
        net.account = messages.RegistrationResource(uri=known.location, body=messages.Registration())
    return service


@contextmanager
def _answering(settings: AcmeSettings, service: client.ClientV2, order: messages.OrderResource) -> Iterator[None]:
    """Answer the service's questions for a while, and tell it that it may ask.

    Raises:
        _OrderFailed: It cannot be asked for by HTTP, or nobody may listen there.
    """
    open_ones = [one for one in order.authorizations if one.body.status == messages.STATUS_PENDING]
    asked = [_by_http(one) for one in open_ones]
    answers = {challenge.chall.path: challenge.validation(service.net.key) for challenge in asked}
    with ExitStack() as listening:
        try:
            listening.enter_context(answer_challenges(settings.host, settings.port, answers))
        except OSError as error:
            raise _OrderFailed(
                f"cannot listen on {settings.host}:{settings.port}: {error.strerror}. Let port 80 lead to another port "
                "and name that in http.tls.letsencrypt.addr, or give the program the right (CAP_NET_BIND_SERVICE)"
            ) from error
        for challenge in asked:
            service.answer_challenge(challenge, challenge.response(service.net.key))
        yield


def _by_http(authorization: messages.AuthorizationResource) -> messages.ChallengeBody:
    for challenge in authorization.body.challenges:
        if isinstance(challenge.chall, challenges.HTTP01):
            return challenge
    name = authorization.body.identifier.value
    raise _OrderFailed(f"the service does not prove {name} by HTTP (HTTP-01)")


def _why_not_proven(error: errors.ValidationError) -> str:
    """Say for each name what the service met."""
    said = [
        f"{one.body.identifier.value}: {challenge.error.detail}"
        for one in error.failed_authzrs
        for challenge in one.body.challenges
        if challenge.error is not None
    ]
    return f"{'; '.join(said)}. Port 80 of each name must lead to http.tls.letsencrypt.addr"
