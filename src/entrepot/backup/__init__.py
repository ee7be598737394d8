"""Backups: the metadata of one moment and every blob they speak of, in a place of their own.

A target (`ports`) holds pieces under names; `layout` says which. `sealing` and `cipher` turn bytes into pieces and
back, `catalogue` keeps the list of backups. `creating` makes one beside a running registry, `verifying` reads it again,
`restoring` brings it back into a folder, `pruning` removes what nobody needs any more.

Blobs are pieces named by their digest, which all backups of a target share: a backup brings only those that are new.
"""
