"""The status as a merge patch: fields that are no longer set are removed."""

from __future__ import annotations

from ocrpool.resource.status import PoolStatus, WorkerReport
from ocrpool_operator.reconcile.pool_object import merge_patch


def test_removed_fields_are_null_and_list_items_have_no_nulls() -> None:
    status = PoolStatus(workers=(WorkerReport(name="pages-0", phase="Pending"),))
    patch = merge_patch(status.model_dump(mode="json", by_alias=True))

    assert patch["proxy"] is None
    assert patch["autoscaling"] is None
    assert patch["workers"][0]["name"] == "pages-0"
    assert "memory" not in patch["workers"][0]


def test_removed_nested_field_is_null() -> None:
    assert merge_patch({"a": {"b": None, "c": [{"d": None, "e": 1}]}}) == {
        "a": {"b": None, "c": [{"e": 1}]}
    }
