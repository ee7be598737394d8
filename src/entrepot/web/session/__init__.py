"""Signing in with a browser: `/c/login`, `/c/log_out`, the cookie between them, and what keeps other sites from it.

`gate.SessionGate` is what the rest of the web layer asks: whose session does this request belong to? The registry's own
API at `/v2/` never asks, so that no page can push or pull with somebody's cookie.
"""
