"""How blobs reach clients without passing through the registry: the port `registry.ports.BlobUrls`, put together.

    urls        the store's own presigned URLs, plain ones, rewritten ones, and a choice by the client's network
    networks    whether an address is in one of many networks
    aws         Amazon's networks, as Amazon lists them

CDNs are beside this, in `adapters/cdn`.
"""
