"""How much alike layers are that are not the same: an estimate, from a small sample of what is inside each.

`expansion` undoes a layer's compression, `chunks` cuts what comes out where its own bytes say so, `sketch` keeps a few
of the chunks' hashes, always the same few. `layer_scan` does that for layers that were not looked at before, and
`similarity` compares the sketches. Nothing is stored otherwise because of it.
"""
