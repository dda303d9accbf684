"""The examples of docs/openapi.json. tests/project/test_openapi.py checks those of the document itself."""

import pytest

from tools.docs.openapi_examples import add_examples

pytestmark = pytest.mark.docs


def test_field_without_an_example_is_an_error_that_shows_its_schema():
    content = {"schema": {"type": "object", "properties": {"age": {"type": "integer", "title": "Age"}}}}
    operation = {"requestBody": {"content": {"application/json": content}}, "responses": {}}
    with pytest.raises(LookupError, match=r"no example: .*Age"):
        add_examples({"components": {"schemas": {}}, "paths": {"/users": {"post": operation}}})
