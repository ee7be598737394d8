"""One exchange with addresses that were checked."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_exceptions import (
    ClientConnectorCertificateError,
    ClientConnectorError,
    ClientConnectorSSLError,
)
from yarl import URL

from entrepot.outbound.errors import AnswerInvalid, Unreachable
from entrepot.outbound.guard import Route, look_up
from entrepot.outbound.response import Response
from entrepot.outbound.settings import OutboundSettings

#: Everything has one deadline, the caller's.
_NO_TIMEOUT = ClientTimeout(total=None, sock_connect=None, sock_read=None)
#: What OpenSSL says where a server refuses a client without a certificate, or with one that it does not know.
_WANTS_CERTIFICATE = ("certificate required", "certificate_required", "unknown ca", "handshake failure")
#: But what may be of any length ends only when nothing comes any more.
_WHILE_IT_COMES = ClientTimeout(total=None, sock_connect=30, sock_read=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What is sent."""

    method: str
    headers: Mapping[str, str]
    body: bytes | None
    limit: int
    into: Callable[[bytes], None] | None = None  #: takes the body of a 200, of any length, as it comes


class _Pinned(AbstractResolver):
    """Knows the checked addresses of one host, and looks up nothing but the operator's own proxy."""

    def __init__(self, route: Route) -> None:
        self._route = route

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:  # noqa: ARG002 - the port's signature
        addresses = await look_up(host, port) if self._route.proxy else self._route.addresses
        return [_result(host, port, address) for address in addresses]

    async def close(self) -> None:
        """Hold nothing that must be let go."""


async def exchange(route: Route, wanted: Exchange, trust: ssl.SSLContext) -> Response:
    """Send one request and read the answer; redirects are answers like others.

    Raises:
        Unreachable: There was no connection, or it broke.
        AnswerInvalid: The answer is longer than `limit`, or packed although that was not asked for.
    """
    connector = TCPConnector(resolver=_Pinned(route), ssl=trust, use_dns_cache=False, force_close=True)
    headers = {"accept-encoding": "identity", "user-agent": "entrepot", **wanted.headers}
    try:
        async with (
            ClientSession(
                connector=connector,
                cookie_jar=DummyCookieJar(),
                auto_decompress=False,
                timeout=_NO_TIMEOUT if wanted.into is None else _WHILE_IT_COMES,
                trust_env=False,
            ) as session,
            session.request(
                wanted.method,
                URL(str(route.url), encoded=True),
                headers=headers,
                data=wanted.body,
                allow_redirects=False,
                proxy=route.proxy or None,
            ) as answer,
        ):
            return await _read(route, answer, wanted)
    except ClientConnectorCertificateError as error:
        raise Unreachable(
            f"{route.url.origin}: its certificate is not signed by an authority known here, or is for another name; "
            "an own authority goes into outbound.cabundle, and for a command into the file that SSL_CERT_FILE names"
        ) from error
    except ClientConnectorSSLError as error:
        raise Unreachable(
            f"{route.url.origin} does not speak TLS as it should; if it speaks plain HTTP, its address begins with http://"
        ) from error
    except ClientConnectorError as error:
        raise Unreachable(
            f"{route.url.origin} cannot be reached: {error.os_error.strerror or 'no connection'}"
        ) from error
    except (ClientError, OSError, ValueError) as error:
        if any(words in str(error).lower() for words in _WANTS_CERTIFICATE):
            raise Unreachable(
                f"{route.url.origin} takes clients with a certificate that it knows alone; a command shows one after "
                "`entrepot login --cert FILE`"
            ) from error
        raise Unreachable(f"{route.url.origin} broke off: {type(error).__name__}") from error


async def _read(route: Route, answer: ClientResponse, wanted: Exchange) -> Response:
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        raise AnswerInvalid(f"{route.url.origin} sent a packed answer, which was not asked for")
    body = bytearray()
    async for piece in answer.content.iter_any():
        if wanted.into is not None and answer.status == HTTPStatus.OK:
            wanted.into(piece)
            continue
        body += piece
        if len(body) > wanted.limit:
            raise AnswerInvalid(f"{route.url.origin} sent more than {wanted.limit} bytes")
    headers = {name.lower(): value for name, value in reversed(list(answer.headers.items()))}
    return Response(status=answer.status, headers=headers, body=bytes(body), url=str(route.url))


def _result(host: str, port: int, address: str) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST)


def trust_store(settings: OutboundSettings) -> ssl.SSLContext:
    """Return who is believed, the system's authorities and those of the settings, and as whom we come.

    Raises:
        Unreachable: A file cannot be used.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with _naming(f"the authorities in {settings.ca_file}"):
        if settings.ca_file:
            context.load_verify_locations(cafile=settings.ca_file)
    with _naming("the authorities that were given"):
        if settings.ca_pem:
            context.load_verify_locations(cadata=settings.ca_pem)
    with _naming(f"the certificate {settings.certificate} with the key {settings.key or settings.certificate}"):
        if settings.certificate:
            # The password is given so that OpenSSL asks nobody for one.
            context.load_cert_chain(settings.certificate, settings.key or None, password="")
    return context


@contextlib.contextmanager
def _naming(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        raise Unreachable(f"{what} cannot be used: {error}") from error
