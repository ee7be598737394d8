"""Looking for damage: in stored bytes, in rows, and between both.

`blob_read` reads one blob and says whether it is whole. `scrub` does that for all blobs, slowly and for ever; `doctor`
looks at everything once, at full speed, and repairs what can be repaired: each of its checks is a module (`blob_check`,
`file_check`, `manifest_check`, `row_check`). What is found in a blob goes through `registry.quarantine`, as what a
pull finds does.
"""
