"""Where the space went, what deleting would free, and quotas."""
