"""The planner's limits follow from the spec."""

from __future__ import annotations

from ocrpool.planner.instances.limits import limits_of
from ocrpool.resource.spec import PoolSpec

GIB = 2**30


def test_defaults() -> None:
    found = limits_of(PoolSpec())

    assert (found.minimum, found.maximum, found.reserve, found.per_instance) == (1, 8, GIB, None)


def test_limits_follow_the_spec() -> None:
    spec = PoolSpec.model_validate(
        {
            "instances": {"min": 2, "max": 3},
            "memory": {"reserve": "512Mi", "perInstance": "1500M"},
        }
    )
    found = limits_of(spec, "default/pages-0")

    assert (found.minimum, found.maximum) == (2, 3)
    assert (found.reserve, found.per_instance) == (GIB // 2, 1_500_000_000)
    assert found.name == "default/pages-0"
