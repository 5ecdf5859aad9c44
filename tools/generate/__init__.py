"""Generators: docs, CRD, chart schema, manifests and dashboard, from their one source."""
