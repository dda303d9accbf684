"""The section ``login-parts``. No test asserts a time."""

import pytest

from benchmarks.login_parts import measure_login_parts

pytestmark = pytest.mark.benchmark


def test_login_is_measured_complete_and_without_each_part():
    complete, *parts = measure_login_parts(rounds=1).rows
    assert complete[0] == "`POST /login`, complete"
    assert all(float(value) > 0 for row in (complete, *parts) for value in row[1:3])
    assert len(parts) == 6
    assert all(value[0] in "+-" for row in parts for value in row[3:])
