from pathlib import Path

import pytest

from local_runtime.environment import function_environment
from local_runtime.template import Function, load_template
from tests.support.runtime import PROJECT

pytestmark = pytest.mark.local_runtime

FUNCTION = Function(
    name="Hello",
    folder=Path("/code/functions/hello"),
    handler="app.handler",
    timeout=1,
    memory=512,
    environment={"STAGE": "local", "DATA_DIR": "/mnt/data", "LEVEL": "INFO"},
)


def environment(**shell):
    return function_environment(FUNCTION, shell=shell, data_dir=Path("/home/ann/.local"))


def test_lambdas_own_variables_are_there():
    made = environment()
    assert made["AWS_LAMBDA_FUNCTION_NAME"] == "Hello"
    assert made["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "512"
    assert made["LAMBDA_TASK_ROOT"] == "/code/functions/hello"
    assert made["_HANDLER"] == "app.handler"
    assert made["TZ"] == "UTC"


def test_the_shell_overrides_the_variables_that_the_template_names():
    assert environment()["LEVEL"] == "INFO"
    assert environment(LEVEL="DEBUG")["LEVEL"] == "DEBUG"


def test_this_projects_registration_is_neutral_where_the_shell_says_so():
    routes = load_template(PROJECT / "template.yaml").routes
    (register,) = (route.function for route in routes if (route.method, route.path) == ("POST", "/users"))
    for shell, expected in (({}, "false"), ({"NEUTRAL_REGISTRATION": "true"}, "true")):
        assert function_environment(register, shell=shell, data_dir=Path("/"))["NEUTRAL_REGISTRATION"] == expected


def test_the_data_folder_is_the_runtimes():
    assert environment(DATA_DIR="/elsewhere")["DATA_DIR"] == "/home/ann/.local"


def test_nothing_else_of_the_shell_gets_in():
    made = environment(AWS_SECRET_ACCESS_KEY="secret", PYTHONPATH="/x", PATH="/bin", BCRYPT_COST="4")
    assert "AWS_SECRET_ACCESS_KEY" not in made
    assert "PYTHONPATH" not in made
    assert (made["PATH"], made["BCRYPT_COST"]) == ("/bin", "4")
