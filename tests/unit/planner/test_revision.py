"""The settings file that newer and older workers get from a spec."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from ocrpool.planner.workers.revision import revision_of, worker_settings
from ocrpool.resource.spec import EngineSpec, PoolSpec
from ocrpool_worker.errors import SettingsError
from ocrpool_worker.settings import settings_from


def test_max_regions_reaches_the_worker() -> None:
    spec = PoolSpec(engine=EngineSpec(max_regions=200))
    told = worker_settings(spec)["engine"]
    assert settings_from({"engine": told}).engine.max_regions == 200
    assert revision_of(spec) != revision_of(PoolSpec())


def test_max_regions_has_an_upper_bound() -> None:
    assert EngineSpec(max_regions=20_000).max_regions == 20_000
    assert settings_from({"engine": {"maxRegions": 20_000}}).engine.max_regions == 20_000
    with pytest.raises(ValidationError, match="20000"):
        EngineSpec(max_regions=20_001)
    with pytest.raises(SettingsError, match="20000"):
        settings_from({"engine": {"maxRegions": 20_001}})


def test_default_of_a_new_field_is_not_sent_to_older_workers() -> None:
    """An older worker image refuses unknown settings; an upgrade of the operator may keep it."""
    told = worker_settings(PoolSpec())["engine"]
    assert told == {"name": "paddleocr", "options": {}}
    assert settings_from({"engine": told}).engine.max_regions == EngineSpec().max_regions
