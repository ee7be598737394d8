"""The registry of `tests/contracts/registry`, for quotas."""

from tests.contracts.registry.conftest import keeping_registry, kit, postgres_url, pusher, registry

__all__ = ["keeping_registry", "kit", "postgres_url", "pusher", "registry"]
