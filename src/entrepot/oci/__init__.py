"""The OCI distribution and image specifications as pure code: no I/O, no third-party package, no event loop.

A tour, from the ground up:

- ``errors``: one exception class per fact, with the error code that clients see.
- ``digest``, ``reference``, ``media_type``: the names of things (content addresses, repositories, tags, types).
- ``strict_json``, ``descriptor``, ``manifest``: from pushed bytes to a checked view of them.
- ``referrers``, ``ranges``, ``negotiation``, ``scope``: the small grammars of requests and answers.
- ``upload``: what may happen to an upload session, as a table.
"""
