"""New connections go to the newest web server.

When a certificate is changed, two web servers share the port for a moment. The kernel would spread new connections over
the sockets of both, and the old server, told to go, drops those that it has accepted but heard no request on. So the
sockets of a port carry a program for the kernel (`SO_ATTACH_REUSEPORT_CBPF`) of one instruction: take the socket number
n, where n is the number of workers. Sockets are numbered in the order in which they began to listen. With one server
there is no such number and the kernel spreads as always; with the first worker of a second server there is, and it
takes all new connections until the old sockets are closed.
"""

from __future__ import annotations

import ctypes
import logging
import socket
import struct
from typing import Final

_SO_ATTACH_REUSEPORT_CBPF: Final = 51
#: BPF_RET | BPF_K: return a constant.
_RETURN_CONSTANT: Final = 0x06

_log = logging.getLogger(__name__)


def prefer_newest(listener: socket.socket, workers: int) -> None:
    """Let a port's listening sockets hand new connections to the server that came last.

    Args:
        listener: One of the sockets of a server with this many workers.
        workers: Workers, and so sockets, of each server.
    """
    # struct sock_filter { u16 code; u8 jt, jf; u32 k } and struct sock_fprog { u16 length; sock_filter *filter }
    instruction = ctypes.create_string_buffer(struct.pack("HBBI", _RETURN_CONSTANT, 0, 0, workers))
    program = struct.pack("@HP", 1, ctypes.addressof(instruction))
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, program)
    except OSError as error:
        # Some sandboxes have no such programs. A change of certificates may then break a connection just made.
        _log.debug("connections cannot be steered", extra={"reason": error.strerror})
