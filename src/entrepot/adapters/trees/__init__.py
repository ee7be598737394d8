"""Where registry:2 left what is adopted, beside folders: the adapters of `adoption.ports.RegistryTree`."""
