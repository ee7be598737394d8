"""The OCI distribution protocol under `/v2/`: one module per noun.

A handler parses what the request names, lets `authorise` ask whether the caller may, calls one use case of
`entrepot.registry` and turns its result into an answer. Errors are raised, and rendered in one place (`errors`).
"""
