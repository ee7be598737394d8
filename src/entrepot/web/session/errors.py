"""What is refused to browsers."""

from __future__ import annotations

from entrepot.oci.errors import Denied


class ForeignRequest(Denied):
    """A page of another site may have sent this request; nothing was done."""


class PlainHttp(Denied):
    """A session would travel in the clear; sign in over https."""
