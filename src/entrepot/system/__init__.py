"""The registry as a whole: what it is set to while it runs, what it tells about itself, and what it holds in all."""
