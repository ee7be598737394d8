"""Signed URLs of CDNs: one module for each vendor, all of one shape.

    spans       since when and until when a URL is good: the same for all workers and nodes
    forms       a keyed hash in the URL, which is what all vendors but one ask for
    cloudfront, akamai, alibaba, cloudflare, google, tencent, templates
                what one vendor asks for: from its options (`config/schema/middleware.py`) to its signer
    signers     which of them goes with which options
    urls        the port `registry.ports.BlobUrls` by one of them

A new CDN is a section of options, a module that makes a `Form` of them, and a line in `signers`.
"""
