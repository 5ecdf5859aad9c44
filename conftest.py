"""Gives every test the fixtures `control_plane`, `node` and `namespace`."""

pytest_plugins = ["devcluster.testing.plugin"]
