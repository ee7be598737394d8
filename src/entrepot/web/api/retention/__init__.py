"""Which tags projects keep, in Harbor's shapes."""
