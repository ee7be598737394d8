"""The registry as a whole: settings, health, search, the audit log."""
