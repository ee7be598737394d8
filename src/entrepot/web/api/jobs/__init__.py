"""Jobs of every kind, in shapes of our own and in Harbor's."""
