"""Parameters of requests: PaddleX's names and types, our bounds, and errors that name the field."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from ocrpool_worker.http.params import (
    OcrRequest,
    QueryParams,
    describe_errors,
    errors_as_paddlex,
    location,
)


def refusal(body: object) -> ValidationError:
    text = body if isinstance(body, str) else json.dumps(body)
    with pytest.raises(ValidationError) as caught:
        OcrRequest.model_validate_json(text)
    return caught.value


def test_only_the_set_parameters_are_given() -> None:
    asked = OcrRequest.model_validate_json('{"file": "QQ==", "extra": 1, "textDetThresh": 0.3}')
    assert (asked.file, asked.file_type, asked.visualize, asked.log_id) == (
        "QQ==",
        None,
        None,
        None,
    )
    assert asked.given() == {"text_det_thresh": 0.3}


def test_every_parameter_arrives_under_its_snake_case_name() -> None:
    names = {
        "useDocOrientationClassify": True,
        "useDocUnwarping": False,
        "useTextlineOrientation": True,
        "textDetLimitSideLen": 960,
        "textDetLimitType": "max",
        "textDetThresh": 0.1,
        "textDetBoxThresh": 0.2,
        "textDetUnclipRatio": 1.5,
        "textRecScoreThresh": 0.0,
        "returnWordBox": True,
    }
    given = OcrRequest.model_validate({"file": "", **names}).given()
    assert list(given.values()) == list(names.values())
    assert given["text_det_limit_side_len"] == 960


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body.file"),
        ({"file": None}, "body.file"),
        ({"file": 5}, "body.file"),
        ({"file": "", "fileType": 2}, "body.fileType"),
        ({"file": "", "fileType": "pdf"}, "body.fileType"),
        ({"file": "", "visualize": "maybe"}, "body.visualize"),
        ({"file": "", "logId": 5}, "body.logId"),
        ({"file": "", "textDetLimitSideLen": 0}, "body.textDetLimitSideLen"),
        ({"file": "", "textDetLimitSideLen": 100_001}, "body.textDetLimitSideLen"),
        ({"file": "", "textDetLimitSideLen": 1.5}, "body.textDetLimitSideLen"),
        ({"file": "", "textDetLimitType": "middle"}, "body.textDetLimitType"),
        ({"file": "", "textDetThresh": 1.1}, "body.textDetThresh"),
        ({"file": "", "textDetBoxThresh": -0.1}, "body.textDetBoxThresh"),
        ({"file": "", "textDetUnclipRatio": 0}, "body.textDetUnclipRatio"),
        ({"file": "", "textDetUnclipRatio": 11}, "body.textDetUnclipRatio"),
        ({"file": "", "textRecScoreThresh": [0.5]}, "body.textRecScoreThresh"),
        ('{"file": "", "textDetThresh": NaN}', "body.textDetThresh"),
        ("[]", "body"),
        ("{", "body"),
        ("", "body"),
    ],
)
def test_a_wrong_request_names_the_field_as_paddlex_does(body: object, field: str) -> None:
    (found,) = json.loads(errors_as_paddlex(refusal(body)))
    assert set(found) == {"type", "loc", "msg"}
    assert found["loc"] == field


def test_all_invalid_fields_are_reported_at_once() -> None:
    error = refusal({"fileType": 7, "visualize": "maybe"})
    found = {one["loc"] for one in json.loads(errors_as_paddlex(error))}
    assert found == {"body.file", "body.fileType", "body.visualize"}


def test_a_query_takes_text_and_no_unknown_name() -> None:
    query = {"textDetThresh": "0.4", "useTextlineOrientation": "false", "textDetLimitSideLen": "64"}
    assert QueryParams.model_validate(query).given() == {
        "use_textline_orientation": False,
        "text_det_limit_side_len": 64,
        "text_det_thresh": 0.4,
    }
    with pytest.raises(ValidationError) as caught:
        QueryParams.model_validate({"textDetTresh": "0.4"})
    assert describe_errors(caught.value) == ("textDetTresh: no such parameter", "textDetTresh")


def test_the_message_names_every_field() -> None:
    with pytest.raises(ValidationError) as caught:
        QueryParams.model_validate({"textDetThresh": "2", "returnWordBox": "x"})
    message, field = describe_errors(caught.value)
    assert field == "textDetThresh"
    assert "textDetThresh: Input should be less than or equal to 1" in message
    assert "; returnWordBox: " in message


def test_places_are_written_as_paddlex_writes_them() -> None:
    assert location(("body", "pages", 3, "size")) == "body.pages[3].size"
    assert location(()) == ""
