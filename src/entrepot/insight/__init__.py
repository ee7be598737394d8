"""Where the space went: what is stored for whom, what deleting something would free, and when the disk is full.

`freed_bytes` answers at once what a deletion would bring, by the rules of collection (`removal_closure` says which
manifests go in the end). `analysis` adds up everything, page by page, as a job, and keeps what it found with its date.
`history` notes once a day what is used, and `trend` says from that when there is no room any more (`forecast`).
`duplicates` estimates how much alike layers are that are not the same.

The words, everywhere: *logical* bytes count a blob once for each manifest that refers to it, *stored* bytes once,
*unique* bytes are those stored that nothing outside needs, *shared* bytes the rest of those stored.
"""
