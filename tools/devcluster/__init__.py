"""A real one-node Kubernetes without Docker, for tests and laptops.

It has two levels, both plain processes in one folder: a control plane (no root), and nodes (root).
`docs/development.md` explains how it works and what it changes on the machine.
"""
