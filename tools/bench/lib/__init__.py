"""What the measurements share: server processes, the load generator, reports."""
