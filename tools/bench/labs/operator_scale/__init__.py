"""The operator with many pools on a real API server, a real scheduler and nodes by kwok."""
