"""Fields that the resource and the worker's settings share are declared once, with one set of
bounds: the worker accepts every spec that the CRD admits."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from ocrpool.planner.workers.revision import worker_settings
from ocrpool.protocol import settings as shared
from ocrpool.resource.crd import structural
from ocrpool.resource.spec import PoolSpec, TemplateSpec
from ocrpool_worker.errors import SettingsError
from ocrpool_worker.settings import HttpSettings, WorkerSettings, settings_from

SECTIONS = ("engine", "admission", "memory", "recycle")
# Same name, another meaning: the worker takes one device of several (`gpu:UUID`), a folder on any
# machine, and an instance count that the operator then changes.
DIFFERENT = {"device", "instances.min", "instances.max", "models.dir"}


def declared(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """The path of every field, with the class that declares it."""
    for name, field in model.model_fields.items():
        path, kind = f"{prefix}{field.alias or name}", field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from declared(kind, f"{path}.")
        else:
            yield (
                path,
                next(one for one in model.__mro__ if name in inspect.get_annotations(one)),
            )


def test_a_field_of_both_sides_is_declared_in_the_protocol() -> None:
    spec, worker = dict(declared(PoolSpec)), dict(declared(WorkerSettings))
    common = (spec.keys() & worker.keys()) - DIFFERENT
    assert {path.partition(".")[0] for path in common} == set(SECTIONS)
    assert len(common) == 12
    for path in common:
        assert spec[path] is worker[path], path
        assert spec[path].__module__ == shared.__name__, path


@pytest.mark.parametrize("name", ["lame_duck_seconds", "grace_seconds"])
def test_shutdown_times_have_the_same_bounds_on_both_sides(name: str) -> None:
    spec, worker = TemplateSpec.model_fields[name], HttpSettings.model_fields[name]
    assert spec.metadata
    assert (spec.metadata, spec.description) == (worker.metadata, worker.description)


def admitted(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a structural schema admits, with those at its bounds."""
    if "properties" in schema:
        fields = {name: admitted(field) for name, field in schema["properties"].items()}
        return st.fixed_dictionaries({}, optional=fields)
    if schema.get("x-kubernetes-int-or-string"):
        return st.from_regex(schema["pattern"], fullmatch=True) | st.integers(0, 2**50)
    low, high = schema.get("minimum"), schema.get("maximum", 2**31)
    match schema["type"]:
        case "integer":
            return st.sampled_from([low, high]) | st.integers(low, high)
        case "number":
            free = st.floats(low, high, exclude_min=bool(schema.get("exclusiveMinimum")))
            rules = schema.get("x-kubernetes-validations", ())
            return free.filter(lambda one: one == 0 or one > 1) if rules else free
        case "string":
            return st.text(
                st.characters(codec="ascii", categories=["L", "N", "P"]),
                min_size=schema["minLength"],
                max_size=schema["maxLength"],
            )
        case "object":
            return st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5))
    raise AssertionError(schema)


def a_spec() -> st.SearchStrategy[Any]:
    schema = structural(PoolSpec)["properties"]
    template = {
        name: admitted(schema["template"]["properties"][name])
        for name in ("lameDuckSeconds", "graceSeconds")
    }
    parts = {name: admitted(schema[name]) for name in SECTIONS}
    return st.fixed_dictionaries({"template": st.fixed_dictionaries(template), **parts})


@settings(max_examples=100, deadline=None)
@given(a_spec())
def test_the_worker_accepts_every_spec_that_the_crd_admits(raw: dict[str, Any]) -> None:
    spec = PoolSpec.model_validate(raw)
    found = settings_from(worker_settings(spec))
    assert found.admission.page_limit == spec.admission.page_limit
    assert found.http.grace_seconds == spec.template.grace_seconds


@pytest.mark.parametrize(
    "raw",
    [
        {"engine": {"name": ""}},
        {"engine": {"name": "x" * 201}},
        {"admission": {"maxPages": 100_001}},
        {"admission": {"queue": 1_000_001}},
        {"admission": {"timeoutSeconds": 86_401}},
        {"admission": {"pageSeconds": 86_401}},
        {"memory": {"reserve": "lots"}},
    ],
)
def test_both_sides_refuse_the_same_values(raw: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(raw))):
        PoolSpec.model_validate(raw)
    with pytest.raises(SettingsError, match=next(iter(raw))):
        settings_from(raw)
