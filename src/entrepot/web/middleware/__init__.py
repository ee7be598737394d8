"""What happens around every request; one file each.

From the outside in:

`request_id` → `access_log` → `metrics` → `rate_limits` (bytes) → `errors` → `limits` → `rate_limits` (requests) → the
application's dispatch.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from entrepot.web.http import Request
from entrepot.web.responses import Send

#: Answers a request, writing to the server's `send`.
Endpoint = Callable[[Request, Send], Awaitable[None]]
