"""The section ``cold-start``. No test asserts a time."""

import pytest

from benchmarks.cold_start import REQUIRED_LIBRARIES, minimal_folder, minimal_response
from benchmarks.first_requests import FirstRequests
from benchmarks.service import SETTINGS, fresh_service

pytestmark = pytest.mark.benchmark


def test_minimal_handlers_respond_to_the_first_request_of_each_function():
    """One function stands for all that have the same handler and the same method."""
    with fresh_service(**SETTINGS) as data_dir:
        requests = FirstRequests()
        functions = {
            (minimal_folder(function), requests.request(function).get("httpMethod")): function
            for function in REQUIRED_LIBRARIES
        }
        responses = {name: minimal_response(name, requests, data_dir).response for name in functions.values()}
    # The responses of the authorizer and of the clean-up have no status.
    statuses = {response["statusCode"] for response in responses.values() if "statusCode" in response}
    assert statuses == {200, 204}
