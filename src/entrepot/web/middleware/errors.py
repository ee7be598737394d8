"""The edge where errors end: answered in OCI form while that is possible, and logged once when unexpected."""

from __future__ import annotations

import logging

from entrepot.metadata.errors import DatabaseUnavailable
from entrepot.oci.errors import QuotaExceeded, RegistryError
from entrepot.web.body import BodyBroken, ClientGone
from entrepot.web.distribution.errors import render_error
from entrepot.web.distribution.quota_refusals import tell_who_uses
from entrepot.web.http import Request
from entrepot.web.middleware import Endpoint
from entrepot.web.middleware.early import send_early
from entrepot.web.responses import Send
from entrepot.web.services import Services

_LOGGER = logging.getLogger(__name__)
_SERVER_ERROR = 500
#: What the log says about a request whose client left before it was answered (a status of nginx).
CLIENT_GONE = 499


def with_errors(inner: Endpoint, services: Services) -> Endpoint:
    """Answer errors; after the head of an answer is out, let the server break the transfer instead."""

    async def guarded(request: Request, send: Send) -> None:
        try:
            await inner(request, send)
        except ClientGone as gone:
            if isinstance(gone, BodyBroken) and not request.started:
                # Without an answer of ours the server would give one of its own, 500, to who is still there.
                await render_error(gone, request, services).send(request, send)
                request.status = CLIENT_GONE
            request.status = request.status or CLIENT_GONE
        except Exception as error:
            if request.started:
                _LOGGER.exception("request %s: the answer was broken off", request.id)
                raise
            if isinstance(error, QuotaExceeded):
                await tell_who_uses(error, request, services)
            answer = render_error(error, request, services)
            if answer.status >= _SERVER_ERROR:
                _log(request, error)
            await send_early(answer, request, send)

    return guarded


def _log(request: Request, error: Exception) -> None:
    if isinstance(error, RegistryError):
        _LOGGER.warning("request %s: %s", request.id, error.message)
    elif isinstance(error, DatabaseUnavailable):  # of very many requests at once, and its message says enough
        _LOGGER.warning("request %s: %s", request.id, error)
    else:
        _LOGGER.error("request %s failed: %s %s", request.id, request.method, request.raw_path, exc_info=error)
