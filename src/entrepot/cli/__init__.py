"""The `entrepot` command: one module, or a package, for each noun."""
