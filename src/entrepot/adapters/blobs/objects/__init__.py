"""Blobs in object stores: one way of doing it for all clouds, and a module for what each cloud calls it.

`store.py` is the adapter of the blob port. `receiver.py` turns a stream of unknown length into parts, within the
memory that `memory.py` gives it, and `upload_state.py` is what the next request has to know, on whichever node.
`cloud.py` says what a cloud has to offer, `calls.py` repeats what failed and knows when to stop, `place.py` asks whose
bucket it is. `s3.py` is S3, with `s3_client.py`, `s3_errors.py` and `s3_settings.py`; `azure.py` is Azure Blob Storage,
with `azure_sign_in.py`; `gcs.py` is Google Cloud Storage, with `gcs_sign_in.py`, `gcs_signing.py` and `crc32c.py`.

Nothing here is imported where blobs are files.
"""
