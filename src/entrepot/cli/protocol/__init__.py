"""`entrepot doctor --protocol URL`: the distribution specification's requests, tried against any registry.

`report` runs the `cases`, which ask through a `Probe` (`client`), and shows what came of them.
"""
