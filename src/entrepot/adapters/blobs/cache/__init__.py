"""A folder in front of an object store: what streams through this node is kept here, for the next who wants it.

`disk_cache.py` is the port `registry.ports.BlobCache`. All workers of a node share the folder: a blob is fetched from
the store once, whoever asks meanwhile reads the file as it grows. `space.py` keeps it below its size, and removes first
what was not used for longest.

The files are named by digest and verified before they get that name, so whoever can ask for the blob may have them; who
may ask is decided before, each time.
"""
