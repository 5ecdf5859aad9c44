"""Shared by all measurements: server processes, the load generator, page images, reports."""
