"""Every example of the document, sent to a server that has none of the things that they name."""

import re

import pytest

from app.api.openapi_examples import EXAMPLES
from tests.integration.api.conftest import Garden

LACKING = [(404, "not_found"), (404, "model_not_found"), (413, "too_large")]
"""The last of them since these servers take small files only."""
SENT = [(method, path, name) for (method, path), bodies in EXAMPLES.items() for name in bodies]


@pytest.mark.parametrize(("method", "path", "name"), SENT)
def test_an_example_lacks_nothing_but_what_it_names(garden: Garden, method: str, path: str, name: str) -> None:
    answer = garden.client.request(method, re.sub("{.*?}", "unknown", path), json=EXAMPLES[method, path][name])
    if not answer.is_success:
        said = answer.json()["error"]
        code = "model_not_found" if "no model 'unknown'" in said else said["code"]  # under /v2 in words
        assert (answer.status_code, code) in LACKING
