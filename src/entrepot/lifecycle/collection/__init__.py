"""Online collection: what nothing needs any more goes, while pushes and pulls go on.

Every change that can drop a last reference leaves an entry in the review queue (`metadata.lifecycle.review`), due after
the grace. `collector` takes what is due, some at a time: `manifests` looks at what indexes and subjects left behind,
`blobs` marks and claims, `sweep` deletes bytes. `orphans` compares the store with the metadata, both ways, for what
crashes left. `preview` says what would go, `why` why something stays.

A blob on its way out::

    live ── no manifest needs it, its time is over ──► marked ── still so ──► deleting ──► links, bytes, row gone
      ▲                                                   │                      │
      └── whoever relies on it (push, mount, HEAD) ───────┘          a push waits for the end, then stores it anew
"""
