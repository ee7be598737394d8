"""Backups: the metadata of one moment and every blob they speak of, in a place of their own.

A target (`ports`) holds pieces under names; `layout` says which. `sealed_pieces` and `cipher` turn bytes into pieces
and back, `catalogue` keeps the list of backups. `create` makes one beside a running registry, `verify` reads it again,
`restore` brings it back into a folder, `prune` removes what nobody needs any more.

Blobs are pieces named by their digest, which all backups of a target share: a backup brings only those that are new.
"""
