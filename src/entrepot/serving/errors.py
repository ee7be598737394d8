"""Reasons not to run."""


class StartRefused(Exception):
    """The registry cannot start; the text says why and what to do."""


class CertificateRefused(Exception):
    """A certificate, its key or a client CA cannot be used; the text says why."""
