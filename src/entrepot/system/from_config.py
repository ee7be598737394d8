"""What the configuration file decides of the settings that Harbor's clients know."""

from __future__ import annotations

from collections.abc import Mapping

from entrepot.config import Config
from entrepot.system.keys import Value

_SECONDS_PER_MINUTE = 60


def fixed_values(config: Config) -> Mapping[str, Value]:
    """Return the settings that are fixed by a configuration."""
    fixed: dict[str, Value] = {"audit_log_forward_endpoint": config.audit.syslog}
    token, sessions = config.access.token, config.access.sessions
    if "expiration" in token.model_fields_set:
        fixed["token_expiration"] = _minutes(token.expiration)
    if "idle" in sessions.model_fields_set:
        fixed["session_timeout"] = _minutes(sessions.idle)
    if config.storage.maintenance.readonly.enabled:
        fixed["read_only"] = True
    return fixed


def _minutes(seconds: float) -> int:
    return max(1, round(seconds / _SECONDS_PER_MINUTE))
