"""Where the bytes are: the adapters of the blob port (`registry/ports.py`).

`filesystem.py` is the store on a disk. Read on from there: `uploads.py` receives and verifies (through `pipeline.py`,
`upload_file.py`, `direct.py` and `hashers.py`), `tree.py` puts complete blobs into registry:2's folders,
`blob_reader.py` streams them, and `fs.py` is every system call that has an effect. `memory.py` is the twin in memory.
"""
