"""A real one-node Kubernetes without Docker, for tests and for anyone's laptop.

Two levels, both plain processes in one folder: a control plane (no root), and a node on top of it
(root). `docs/development.md` says how it works and what it changes on the machine.
"""
