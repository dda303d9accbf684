"""The libraries that the deployed code imports. `make lint` checks the other import rules (pyproject.toml)."""

import json
import os
import re
import subprocess
import sys
import tomllib
from contextlib import ExitStack
from functools import cache
from importlib.metadata import packages_distributions

import pytest

from benchmarks.cold_start import REQUIRED_LIBRARIES
from benchmarks.first_requests import FirstRequests
from benchmarks.service import environment_of
from tests.support.runtime import PROJECT, environment_without_settings, run_command
from tests.support.source_code import DEPLOYED, FUNCTIONS, LAYER, imports, libraries, project_path

pytestmark = [pytest.mark.project]

#: The runtime of Lambda contains them.
IN_LAMBDA = {"boto3", "botocore", "snapshot_restore_py"}
#: Packages of the project that are not in the layer.
NOT_IN_LAMBDA = {"benchmarks", "functions", "local_runtime", "tests", "tools"}
#: Importing one of these takes longer than most requests, so only the functions that use it may load it.
EXPENSIVE = {"alembic", "aurora_dsql_sqlalchemy", "aws_xray_sdk", "boto3", "psycopg", "webauthn"}
#: Functions that need an expensive library.
NEEDED = {"migrate": {"alembic"}, "step_up": {"webauthn"}, "webauthn": {"webauthn"}}
#: The settings of a deployed stage with an Aurora DSQL cluster.
CLUSTER = {
    "STAGE": "prod",
    "WEBAUTHN_RP_ID": "example.com",
    "WEBAUTHN_ORIGINS": "https://login.example.com",
    "DATABASE_URL": "auroradsql+psycopg://secure_backend@cluster.dsql.eu-central-1.on.aws/postgres",
}
#: The functions that use the database in requests.
WITH_A_DATABASE = sorted(set(FUNCTIONS) - {"authorizer", "jwks", "migrate", "preflight", "publish_keys", "well_known"})
#: A caller's first request waits for the authorizer and for the function, so the authorizer must be small.
NOT_IN_AUTHORIZER = {"fastapi", "mangum", "sqlalchemy", "starlette"}
#: The libraries that the local runtime loads ahead, too.
PRELOADED = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["local_runtime"]["preload"]


#: Functions with the same forbidden libraries, which one process can load one after the other.
FUNCTION_GROUPS = [["authorizer"], ["migrate"], ["step_up", "webauthn"]]
FUNCTION_GROUPS.append(sorted(set(FUNCTIONS).difference(*FUNCTION_GROUPS)))


def forbidden(function: str) -> set[str]:
    """Return the libraries that a function must not load when its database is SQLite and its keys are files."""
    also_forbidden = NOT_IN_AUTHORIZER if function == "authorizer" else set()
    return EXPENSIVE - NEEDED.get(function, set()) | NOT_IN_LAMBDA | also_forbidden


@cache
def in_the_layer() -> set[str]:
    """Return the top-level names that the layer's requirements.txt installs."""
    requirements = (LAYER.parent / "requirements.txt").read_text()
    distributions = {normalise(name) for name in re.findall(r"^([\w.-]+)==", requirements, re.MULTILINE)}
    return {name for name, owners in packages_distributions().items() if distributions & {*map(normalise, owners)}}


def normalise(distribution: str) -> str:
    """Return the normalised name of a distribution (PyPA specification "Name normalization")."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


@pytest.mark.asvs("13.4.1", "15.2.3")
def test_function_folder_contains_only_app_py():
    files = {function: {path.name for path in (PROJECT / "functions" / function).iterdir()} for function in FUNCTIONS}
    assert {function: names for function, names in files.items() if names - {"__pycache__"} != {"app.py"}} == {}


@pytest.mark.asvs("15.2.3")
def test_deployed_code_imports_only_available_packages():
    allowed = {"auth_common", *in_the_layer(), *IN_LAMBDA, *sys.stdlib_module_names}
    assert {project_path(path): libraries(path) - allowed for path in DEPLOYED if libraries(path) - allowed} == {}


#: A script that prints which functions install the audit writer. It removes the writer before it imports a function.
PRINT_FUNCTIONS_WITH_AUDIT_WRITER = """
import sys
from importlib import import_module
from auth_common.events.security_events import publishing_handler, security_log
for function in sys.argv[1:]:
    security_log.handlers = [publishing_handler]
    import_module(f"functions.{function}.app")
    if security_log.handlers != [publishing_handler]:
        print(function)
"""


@pytest.mark.threat("function-unrecorded-change")
def test_each_function_with_a_database_installs_the_audit_writer():
    done = run_command(sys.executable, "-c", PRINT_FUNCTIONS_WITH_AUDIT_WRITER, *FUNCTIONS)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == WITH_A_DATABASE


#: A script that starts an environment for each line of standard input, and prints the packages that it has loaded.
#: It imports libraries once and forks, because most of the time of a start is the import of the same libraries. A child
#: neither collects nor destroys the objects of the libraries, because it would copy their memory.
START_ENVIRONMENTS = """
import atexit, gc, json, os, sys
from importlib import import_module
from types import SimpleNamespace
for library in sys.argv[1:]:
    import_module(library)
gc.collect()
gc.freeze()
for line in sys.stdin:
    if os.fork():
        if os.wait()[1]:
            print("null", flush=True)
        continue
    functions, environment, event = json.loads(line)
    os.environ.clear()
    os.environ.update(environment)
    output = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for function in functions:
        sys.path.insert(0, f"functions/{function}")
        import app
        assert callable(app.handler)
        if event is not None:
            arn = "arn:aws:lambda:eu-central-1:123456789012:function:first"
            ids = {"aws_request_id": "1", "invoked_function_arn": arn}
            app.handler(event, SimpleNamespace(function_name="first", memory_limit_in_mb="1024", **ids))
        del sys.path[0], sys.modules["app"]
    loaded = sorted({name.partition(".")[0] for name in sys.modules})
    os.write(output, json.dumps(loaded).encode() + b"\\n")
    atexit._run_exitfuncs()  # For coverage.
    os._exit(0)
"""


@pytest.fixture(scope="module")
def start():
    """A function that starts an environment, and returns the top-level packages that it has loaded.

    Each function is imported as ``app`` from its own folder, as in Lambda. An event is sent to it as the first request.
    The functions must have the same forbidden libraries.
    """
    with ExitStack() as stack:

        @cache
        def forking_process(*libraries, measured):
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", START_ENVIRONMENTS, *libraries],
                cwd=PROJECT,
                env=environment_without_settings(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            return stack.enter_context(process)

        def start(*functions, environment, event=None):
            libraries = [name for name in PRELOADED if name.partition(".")[0] not in forbidden(functions[0])]
            # Tests with and without measured coverage use different processes (tests/support/quick_run.py).
            process = forking_process(*libraries, measured="COVERAGE_PROCESS_CONFIG" in os.environ)
            process.stdin.write(json.dumps([functions, environment, event]) + "\n")
            process.stdin.flush()
            loaded = json.loads(process.stdout.readline())
            assert loaded, "the environment did not start"
            assert "aws_lambda_powertools" in loaded
            return set(loaded)

        yield start


@pytest.fixture
def loaded_at_start(start):
    """A function that returns the top-level packages that an environment with these variables has loaded."""
    return lambda *functions, **variables: start(
        *functions, environment={**environment_without_settings(), **variables}
    )


@pytest.mark.unmeasured
@pytest.mark.asvs("15.2.3", "15.2.5")
@pytest.mark.parametrize("functions", FUNCTION_GROUPS, ids=",".join)
@pytest.mark.parametrize("variables", [{"DATA_DIR": "/nowhere"}, CLUSTER], ids=["local", "deployed"])
def test_function_starts_without_expensive_libraries(loaded_at_start, functions, variables):
    assert loaded_at_start(*functions, **variables) & forbidden(functions[0]) == set()


#: Markers of the same test with further functions.
MORE = [pytest.mark.thorough, pytest.mark.unmeasured]
#: Both kinds take the same path (``settings.initialises_ahead``), so one function is enough for the second.
PREINITIALISED = [("snap-start", function) for function in WITH_A_DATABASE] + [("provisioned-concurrency", "login")]


@pytest.mark.parametrize(
    ("kind", "function"),
    [pytest.param(*each, marks=[] if each[1] == "login" else MORE) for each in PREINITIALISED],
)
def test_preinitialised_function_has_loaded_its_drivers(loaded_at_start, function, kind):
    """The first request after a snapshot is restored must not wait for the import of drivers."""
    loaded = loaded_at_start(function, AWS_LAMBDA_INITIALIZATION_TYPE=kind, **CLUSTER)
    assert {"boto3", "botocore", "psycopg", "aurora_dsql_sqlalchemy"} <= loaded


def test_preinitialised_function_with_a_url_secret_loads_driver(loaded_at_start):
    secret = {"STAGE": "prod", "DATABASE_URL_SECRET_ARN": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:url"}
    loaded = loaded_at_start(
        "login", AWS_LAMBDA_INITIALIZATION_TYPE="snap-start", **{**CLUSTER, **secret, "DATABASE_URL": ""}
    )
    assert {"boto3", "psycopg"} <= loaded
    assert "aurora_dsql_sqlalchemy" not in loaded


@pytest.mark.parametrize("function", ["authorizer", "jwks", "well_known"])
def test_preinitialised_function_loads_no_unused_driver(loaded_at_start, function):
    loaded = loaded_at_start(function, AWS_LAMBDA_INITIALIZATION_TYPE="snap-start", **CLUSTER)
    assert loaded & forbidden(function) == set()


def test_preinitialised_function_with_a_wrong_setting_starts(loaded_at_start):
    """The first request reports the wrong setting, as in environments that are not pre-initialised."""
    wrong = {**CLUSTER, "DATABASE_URL": "no url"}
    assert "boto3" in loaded_at_start("login", AWS_LAMBDA_INITIALIZATION_TYPE="snap-start", **wrong)


@pytest.mark.unmeasured
@pytest.mark.asvs("15.2.5")
@pytest.mark.parametrize(
    "functions", [["login"], pytest.param(REQUIRED_LIBRARIES, marks=pytest.mark.thorough)], ids=["login", "all"]
)
def test_first_request_loads_no_expensive_libraries(start, environment, functions):
    requests = FirstRequests()
    for function in functions:
        variables = environment_of(function, environment)
        loaded = start(function, environment=variables, event=requests.request(function))
        assert loaded & forbidden(function) == set(), function


@pytest.mark.asvs("13.2.4", "14.2.3", "15.3.2", "16.2.3")
@pytest.mark.threat("function-taken-over")
def test_layer_has_no_network_access_except_database_and_aws():
    """ASVS 13.2.4, 14.2.3. A contract of import-linter in pyproject.toml allows boto3 in ``aws_calls`` only."""
    outward = {"aiohttp", "asyncio", "ftplib", "httpx", "imaplib", "poplib", "requests", "smtplib", "socket", "ssl"}
    outward |= {"http.client", "subprocess", "urllib", "urllib3", "xmlrpc"}
    found = {
        (project_path(path), name)
        for path in DEPLOYED
        for name in imports(path)
        if {name, name.partition(".")[0]} & outward
    }
    assert found == {
        ("layers/common/auth_common/database/tables.py", "urllib.parse"),  # Percent-encoding without network access.
        ("layers/common/auth_common/clients/authentication.py", "urllib.parse"),
        ("layers/common/auth_common/mail/links.py", "urllib.parse"),
        ("layers/common/auth_common/web/oauth.py", "urllib.parse"),
        # The SMTP server that the deployer names.
        *(("layers/common/auth_common/mail/smtp.py", name) for name in ("smtplib", "socket", "ssl", "urllib.parse")),
        ("layers/common/auth_common/web/application.py", "asyncio"),  # The event loop that Mangum needs.
        ("layers/common/auth_common/web/oauth.py", "urllib.parse"),
        ("layers/common/auth_common/web/custom_resources.py", "urllib.request"),  # The response to CloudFormation.
    }
    assert [
        project_path(path)
        for path in DEPLOYED
        if "create_engine" in path.read_text()
        if path.parent != LAYER / "database"
    ] == []
