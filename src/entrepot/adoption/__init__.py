"""Taking over a folder that registry:2 filled, in place, and rebuilding the metadata from such a folder.

`tree` reads the folder, `intake` writes what it found into the metadata repository by repository, `gate` does that for
the repository a request asks for, `run` does it for all of them with progress, `delta` for what changed since.
Broken things are reported (`report`) and passed over; nothing in the folder is changed.
"""
