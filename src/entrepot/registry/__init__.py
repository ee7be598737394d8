"""What a registry does, without saying how it is spoken to or where the bytes lie.

`service.Registry` holds one small service per noun: blobs, uploads, manifests, tags, referrers, catalog. Each takes
parsed values from `entrepot.oci`, decides in one metadata transaction and raises an error of `entrepot.oci.errors`.
Who may call it is decided above, in `entrepot.access`.
"""
