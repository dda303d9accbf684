"""The section ``sam`` of ``make bench``: cold starts in containers. No test asserts a time."""

import pytest

from benchmarks.sam_start import measure_containers
from tests.support.sam import build_project, containers_with, require_docker

pytestmark = [pytest.mark.operations, pytest.mark.sam, pytest.mark.xdist_group("sam")]


def test_function_is_compared_with_its_floor_and_without_bytecode(environment):
    require_docker()
    function = str(build_project() / "AuthorizerFunction")
    # Containers of other tests in this run.
    others = containers_with(function)
    with_floor, without_bytecode = measure_containers(rounds=1, functions=["authorizer"])

    assert (with_floor.name, with_floor.against) == ("`authorizer`", "jwt + cryptography")
    assert without_bytecode.name == "`authorizer`, layer without bytecode"
    # The second comparison uses the times of the first one.
    assert without_bytecode.floor == with_floor.subject
    assert containers_with(function) == others
