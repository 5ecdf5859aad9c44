"""The API server and the workers' control ports: client, watches, cache, Lease, Events."""
