"""Who signs people in, and whose tokens are believed: the adapters of the ports in `access`."""
