"""Secrets at rest: what the registry must be able to read again is sealed before it goes into the database.

Two kinds of keys. The operator's key (`master`) is in a file or in the environment, never in the database; all it does
is to wrap the data keys. The data keys are in the database, wrapped, and seal the secrets (AES-256-GCM). A sealed text
is bound to its place, so that nobody who can write to the database moves one secret to where another is expected.

A sealed text may stand in the columns that `metadata/sealed.py` lists; `rotation` seals all of them anew.
"""
