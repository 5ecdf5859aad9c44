"""The operator with many pools on a real API server and scheduler, with nodes simulated by kwok."""
