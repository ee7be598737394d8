"""Entry points by name: what a worker process runs is chosen above this package."""

from __future__ import annotations

import gc
import pickle
from typing import TYPE_CHECKING, Any, Protocol

from entrepot.serving.process import resolve

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from entrepot.serving.settings import Surroundings
    from entrepot.serving.worker_runtime import WorkerRuntime


class Entry(Protocol):
    """Opens what a worker needs and gives its work: an ASGI application, or a job loop to be awaited."""

    def __call__(self, config: Any, runtime: WorkerRuntime) -> AbstractAsyncContextManager[Any]:
        """Open it; leaving the context closes everything."""
        ...


def load(surroundings: Surroundings) -> tuple[Entry, Any]:
    """Import the entry point and unpack the configuration."""
    gc.disable()  # Importing makes many objects that stay: looking for garbage among them takes a tenth of the start.
    try:
        entry: Entry = resolve(surroundings.entry)
        return entry, pickle.loads(surroundings.config)  # noqa: S301 - written by our own supervisor
    finally:
        gc.freeze()
        gc.enable()
