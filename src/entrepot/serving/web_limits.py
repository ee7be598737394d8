"""Times that the supervisor and the web server must agree on."""

from __future__ import annotations

from typing import Final

#: The supervisor ends the drain sooner; after a certificate change old workers may finish what they began.
LONGEST_DRAIN_SECONDS: Final = 24 * 3600
