"""A second proof beside the password: one-time codes, security keys, recovery codes."""
