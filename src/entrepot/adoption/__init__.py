"""Taking over a folder that registry:2 filled, in place, and rebuilding the metadata from such a folder.

`tree` finds repositories and bytes, `links` and `contents` read one repository, `rows` writes what was read,
`repository_adoption` does so piece by piece. `intake` adopts a repository or the one thing that a request asks for,
`gate` does that in front of the requests, `run` for the whole folder with progress. `delta` takes in what another
registry did since, `byte_presence` notices bytes that are gone, `foreign` that there was another registry at all,
`leftovers` removes its old uploads. Broken things are reported (`report`) and passed over; nothing in the folder is
changed.
"""
