"""`?ns=`: the registry that a client believes to be reading from when it uses us as a mirror ("Registry Proxying")."""

from __future__ import annotations

import re

from entrepot.web.http import Request

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,253}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


def echo_namespace(request: Request) -> None:
    """Answer a pull's `ns` with `OCI-Namespace`. It is a name, never an address to connect to."""
    if request.method not in ("GET", "HEAD"):
        return
    namespace = request.query("ns")
    if namespace and _HOST.fullmatch(namespace):
        request.add_header(b"oci-namespace", namespace.encode())
