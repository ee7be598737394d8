"""Signing in with a browser by way of another service: `/c/oidc/login`, `/c/oidc/callback/NAME`, `/c/oidc/onboard`."""
