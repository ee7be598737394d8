"""What the configuration file decides of the settings that Harbor's clients know."""

from __future__ import annotations

from collections.abc import Mapping

from entrepot.config import Config
from entrepot.system.keys import Value

_SECONDS_PER_MINUTE = 60


def fixed_values(config: Config) -> Mapping[str, Value]:
    """Return the settings that are fixed by a configuration."""
    fixed: dict[str, Value] = {
        "token_expiration": max(1, round(config.access.token.expiration / _SECONDS_PER_MINUTE)),
        "audit_log_forward_endpoint": config.audit.syslog,
    }
    if config.storage.maintenance.readonly.enabled:
        fixed["read_only"] = True
    return fixed
