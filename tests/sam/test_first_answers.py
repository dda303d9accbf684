"""``make bench``'s section ``sam``: a function in containers of its own. No test looks at a time."""

import pytest

from benchmarks.sam_start import measure_containers
from tests.support.sam import build_project, containers_with, require_docker

pytestmark = [pytest.mark.operations, pytest.mark.sam, pytest.mark.xdist_group("sam")]


def test_a_function_is_measured_beside_its_floor_and_beside_itself_without_bytecode(environment):
    require_docker()
    function = str(build_project() / "AuthorizerFunction")
    # Those of the SAM that this run's other tests share.
    others = containers_with(function)
    beside_floor, without_bytecode = measure_containers(rounds=1, functions=["authorizer"])

    assert (beside_floor.name, beside_floor.against) == ("`authorizer`", "jwt + cryptography")
    assert without_bytecode.name == "`authorizer`, layer without bytecode"
    # What is compared with is what the first row measures, in the same rounds.
    assert without_bytecode.floor == beside_floor.subject
    assert containers_with(function) == others
