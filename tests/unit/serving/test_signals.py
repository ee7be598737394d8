"""Signals to stop, at moments in which nobody listens for them."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: A web worker's life in short: the loop runs for the start, stops, and runs again for requests.
WORKER = """
import asyncio, os, signal, sys, uvloop
from entrepot.serving.signals import hold_stop, release_stop

if sys.argv[1] == "held":
    hold_stop()
loop, heard = uvloop.new_event_loop(), []
loop.add_signal_handler(signal.SIGTERM, heard.append, "stop")
loop.run_until_complete(asyncio.sleep(0))
os.kill(os.getpid(), signal.SIGTERM)

async def serve():
    release_stop()
    await asyncio.sleep(0.05)

loop.run_until_complete(serve())
print(heard)
"""


@pytest.mark.parametrize(("how", "heard"), [("held", ["stop"]), ("not held", [])])
def test_a_signal_between_two_runs_of_the_loop(how: str, heard: list[str]) -> None:
    """The loop forgets a signal that comes while it does not run, unless the kernel was told to keep it."""
    done = subprocess.run([sys.executable, "-c", WORKER, how], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == f"{heard}\n"
