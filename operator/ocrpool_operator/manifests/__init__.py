"""The Kubernetes objects of a pool, built from its spec. Pure functions, no I/O."""
