"""Tokens: our own, those of other issuers, and the keys that sign them."""
