"""Gives every test the fixtures `control_plane`, `node`, `namespace` and `models`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Speed is no property: a machine that does other things must not fail a test. (Hypothesis has a
# profile of its own for CI, which says the same.)
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
if os.environ.get("CI") != "true":
    settings.load_profile("busy")

pytest_plugins = ["tools.devcluster.testing.plugin"]
MODELS_VARIABLE = "OCRPOOL_TEST_MODELS"


@pytest.fixture(scope="session")
def models() -> Path:
    """The folder of staged models. Without one, tests that need it are skipped, but not in CI."""
    folder = os.environ.get(MODELS_VARIABLE)
    if folder and Path(folder).is_dir():
        return Path(folder)
    message = f"{MODELS_VARIABLE} names no folder of staged models; `make test` sets it"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
