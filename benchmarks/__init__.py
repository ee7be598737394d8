"""Speed and memory beside the peers: docker-registry 2.8.3 and nginx serving the same files.

`python -m benchmarks` runs everything, `python -m benchmarks pull-manifest` one scenario. See README.md for the method.
"""
