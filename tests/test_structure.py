"""The rules of the layout: who may import what, what the template and the code must agree on, how long a file may be.

The directions inside the layer are import-linter's (`make lint`); what it cannot see is here.
"""

import ast
import importlib
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from fastapi.dependencies.models import Dependant

from auth_common.services.authorization import PROTECTED_ROUTES
from auth_common.settings import Settings
from auth_common.web.dependencies import Caller
from benchmarks.cold_start import INDISPENSABLE, first_answer
from benchmarks.first_requests import FirstRequests
from benchmarks.service import environment_of
from local_runtime.cloudformation import read_template
from local_runtime.policies import matches
from local_runtime.template import Route, load_template
from tools.uv_path import uv_path

pytestmark = pytest.mark.project

#: It reads a pattern as ``re`` itself does.
sre = importlib.import_module("re._parser")
PROJECT = Path(__file__).parents[1]
FUNCTIONS = sorted(path.name for path in (PROJECT / "functions").iterdir())
LAYER = PROJECT / "layers" / "common" / "auth_common"

#: What a function may use of the layer: the ends of its stack.
FOR_FUNCTIONS = ("auth_common.web", "auth_common.services", "auth_common.monitoring")
#: Lambda's runtime brings them along.
AWS_CLIENTS = {"boto3", "botocore"}
IN_LAMBDA = {*AWS_CLIENTS, "snapshot_restore_py"}
#: Each takes longer to import than most requests take to answer (docs/decisions): only who uses it, when it does.
LOADED_WHEN_USED = {"alembic", "aurora_dsql_sqlalchemy", "aws_xray_sdk", "boto3", "psycopg", "webauthn"}
#: Packages of the project that are not in the layer.
NOT_IN_LAMBDA = {"benchmarks", "functions", "local_runtime", "tests", "tools"}
#: A caller's first request waits for the authorizer and for the function: it must be the small one.
NOT_IN_THE_AUTHORIZER = {"fastapi", "mangum", "sqlalchemy", "starlette"}
#: Everything of other people's that takes some milliseconds to import, or would if somebody imported it.
HEAVY = LOADED_WHEN_USED | {
    *("annotated_types", "anyio", "asyncpg", "aws_lambda_powertools", "bcrypt", "cbor2", "cryptography", "dotenv"),
    *("email_validator", "fastapi", "httpx", "jmespath", "jsonschema", "jwt", "mangum", "multipart", "opentelemetry"),
    *("pydantic", "pydantic_settings", "requests", "rich", "sqlalchemy", "starlette", "ua_parser", "yaml"),
    *("ua_parser_builtins", "urllib3", "uvicorn", "zxcvbn_rs_py", "OpenSSL"),
}
_ALWAYS = {"aws_lambda_powertools", "cryptography", "jmespath"}
#: FastAPI brings e-mail addresses and traces along, whoever needs them.
_WEB = _ALWAYS | {
    *("annotated_types", "anyio", "email_validator", "fastapi", "mangum", "opentelemetry", "pydantic", "starlette"),
}
#: What of it each function has loaded when it has answered its first request, with SQLite. A new entry is a decision:
#: the first caller of each environment waits for it (docs/performance.md). cryptography brings bcrypt along.
LOADED = {
    "audit": {*_WEB, "sqlalchemy"},
    "authorizer": {*_ALWAYS, "bcrypt", "jwt"},
    "change_password": {*_WEB, "bcrypt", "jwt", "sqlalchemy", "zxcvbn_rs_py"},
    "cleanup": {*_ALWAYS, "sqlalchemy"},
    "get_user": {*_WEB, "sqlalchemy"},
    "health": {*_WEB, "sqlalchemy"},
    "jwks": {*_WEB, "bcrypt"},
    "login": {*_WEB, "bcrypt", "jwt", "sqlalchemy"},
    "refresh": {*_WEB, "bcrypt", "jwt", "sqlalchemy"},
    "register": {*_WEB, "bcrypt", "sqlalchemy", "zxcvbn_rs_py"},
    "sessions": {*_WEB, "bcrypt", "jwt", "sqlalchemy", "ua_parser", "ua_parser_builtins", "yaml"},
    "webauthn": {*_WEB, "OpenSSL", "bcrypt", "cbor2", "jwt", "sqlalchemy", "webauthn"},
}

#: What anybody on the internet may call. A new entry is a decision.
OPEN_ROUTES = {
    ("POST", "/users"),
    ("POST", "/login"),
    ("POST", "/token/refresh"),
    ("POST", "/webauthn/login/begin"),
    ("POST", "/webauthn/login/complete"),
    ("GET", "/.well-known/jwks.json"),
    ("GET", "/health"),
}


def modules(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (PROJECT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), path)


def names_imported_by(node: ast.AST) -> list[str]:
    """Return the full names of the modules that an import statement may load; a relative one starts with a dot."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{'.' * node.level}{node.module or ''}"]
    return []


def imports(path: Path) -> list[str]:
    return [name for node in ast.walk(tree(path)) for name in names_imported_by(node)]


def libraries(path: Path) -> set[str]:
    """Return the top-level names that a module imports, at its top or anywhere else."""
    return {name.partition(".")[0] for name in imports(path)}


def run_at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Yield everything below ``node`` that runs when the module is imported: all but the bodies of functions."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from run_at_import(child)


@cache
def in_the_layer() -> set[str]:
    """Return the top-level names that the layer's requirements.txt installs."""
    requirements = (LAYER.parent / "requirements.txt").read_text()
    distributions = {normalise(name) for name in re.findall(r"^([\w.-]+)==", requirements, re.MULTILINE)}
    return {name for name, owners in packages_distributions().items() if distributions & {*map(normalise, owners)}}


def normalise(distribution: str) -> str:
    """Return the one spelling of a distribution's name (PyPA specification "Name normalization")."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


# --- Functions ---------------------------------------------------------------------------------------------------


@pytest.mark.asvs("13.4.1", "15.2.3")
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_functions_folder_holds_a_short_app_py_and_nothing_else(function):
    folder = PROJECT / "functions" / function
    assert {path.name for path in folder.iterdir()} - {"__pycache__"} == {"app.py"}
    assert len((folder / "app.py").read_text().splitlines()) <= 60


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_imports_the_ends_of_the_layer_libraries_and_no_sibling(function):
    allowed = in_the_layer() | set(sys.stdlib_module_names)
    for name in imports(PROJECT / "functions" / function / "app.py"):
        if name.partition(".")[0] == "auth_common":
            assert name.startswith(FOR_FUNCTIONS), name
        else:
            assert name.partition(".")[0] in allowed, name


@pytest.mark.asvs("15.2.3", "15.2.5")
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_starts_as_in_lambda_and_loads_nothing_expensive_that_it_does_not_use(function, tmp_path):
    """Lambda imports the file as ``app``, from its own folder, next to the layer."""
    environment = {
        name: value for name, value in os.environ.items() if name.lower() not in Settings.__dataclass_fields__
    }
    start = "import sys, app; assert callable(app.handler); print(*{name.partition('.')[0] for name in sys.modules})"
    run = subprocess.run(
        [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, sys.argv[1])\n{start}", f"functions/{function}"],
        cwd=PROJECT,
        env={**environment, "DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    used = {"webauthn": {"webauthn"}, "migrate": {"alembic"}}.get(function, set())
    forbidden = LOADED_WHEN_USED - used | NOT_IN_LAMBDA | (NOT_IN_THE_AUTHORIZER if function == "authorizer" else set())
    loaded = set(run.stdout.split())
    assert loaded & forbidden == set()
    assert "aws_lambda_powertools" in loaded


def test_a_function_has_loaded_what_it_may_and_nothing_else_when_it_has_answered_its_first_request(environment):
    requests = FirstRequests()
    loaded = {
        function: first_answer(
            PROJECT / "functions" / function, requests.request(function), environment_of(function, environment)
        ).modules
        for function in LOADED
    }
    assert {function: names & HEAVY for function, names in loaded.items()} == LOADED


def test_each_function_that_somebody_waits_for_has_its_table_of_what_it_may_load():
    of_a_deployment = {"migrate", "publish_keys"}
    assert LOADED.keys() == INDISPENSABLE.keys() == {*FUNCTIONS} - of_a_deployment


# --- The template ------------------------------------------------------------------------------------------------


@cache
def template() -> dict[str, Any]:
    return read_template(PROJECT / "template.yaml")


@cache
def routes() -> tuple[Route, ...]:
    return load_template(PROJECT / "template.yaml").routes


def template_functions() -> dict[str, Any]:
    resources = template()["Resources"]
    return {
        name: resource["Properties"]
        for name, resource in resources.items()
        if resource["Type"] == "AWS::Serverless::Function"
    }


def endpoints(function: str) -> list[Any]:
    """Return the FastAPI routes of a function; one that answers no request has no application."""
    app = getattr(importlib.import_module(f"functions.{function}.app"), "app", None)
    return list(app.routes) if app else []


def test_each_function_of_the_template_has_a_folder_and_each_folder_a_function():
    assert sorted(properties["CodeUri"] for properties in template_functions().values()) == [
        f"functions/{function}" for function in FUNCTIONS
    ]


@pytest.mark.asvs("4.1.4", "13.4.4")
@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_gateway_routes_what_the_function_answers(function):
    answered = [(method, route.path) for route in endpoints(function) for method in route.methods]
    routed = [(route.method, route.path) for route in routes() if route.function.folder.name == function]
    assert sorted(answered) == sorted(routed)


def test_the_authorizers_policy_names_each_protected_route_and_no_other():
    protected = [f"{route.method}{re.sub('{.*?}', '*', route.path)}" for route in routes() if route.authorizer]
    assert sorted(PROTECTED_ROUTES) == sorted(protected)


@pytest.mark.threat("authorizer-cached-policy")
def test_a_wildcard_of_the_policy_opens_no_route_but_its_own():
    """It matches slashes too: ``GET/users/*`` would open a ``GET/users/1/x``, and ``GET/*/x`` all the more."""
    for route in routes():
        path = f"{route.method}{re.sub('{.*?}', '1', route.path)}"
        own = f"{route.method}{re.sub('{.*?}', '*', route.path)}"
        assert [pattern for pattern in PROTECTED_ROUTES if matches(pattern, path)] == [own] * bool(route.authorizer)


@pytest.mark.asvs("6.3.4", "6.3.6", "7.2.2", "8.2.1", "13.4.5")
@pytest.mark.threat("deployment-custom-resource-call", "deployment-weakened-template", "gateway-open-route")
def test_no_route_is_open_but_those_that_must_be():
    assert {(route.method, route.path) for route in routes() if not route.authorizer} == OPEN_ROUTES


def asks_for_its_caller(dependant: Dependant) -> bool:
    principal = Caller.__metadata__[0].dependency  # type: ignore[attr-defined]
    return dependant.call is principal or any(asks_for_its_caller(inner) for inner in dependant.dependencies)


@pytest.mark.asvs("8.2.1")
@pytest.mark.parametrize("function", FUNCTIONS)
def test_an_endpoint_knows_its_caller_exactly_where_the_gateway_asks_the_authorizer(function):
    protected = {(route.method, route.path) for route in routes() if route.authorizer}
    for route in endpoints(function):
        (method,) = route.methods
        assert asks_for_its_caller(route.dependant) == ((method, route.path) in protected), route.path


def calls(dependant: Dependant) -> Iterator[Any]:
    yield dependant.call
    for inner in dependant.dependencies:
        yield from calls(inner)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_endpoint_needs_an_event_loop(function):
    """There is none (docs/decisions/0017): no threads for plain functions, nothing that yields, no streams."""
    for route in endpoints(function):
        assert [call for call in calls(route.dependant) if not inspect.iscoroutinefunction(call)] == []
    source = (PROJECT / "functions" / function / "app.py").read_text()
    assert not re.search("StreamingResponse|FileResponse|BackgroundTask|EventSourceResponse", source)


@pytest.mark.asvs("13.4.2")
@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_function_runs_in_debug_mode(function):
    """ASVS 13.4.2."""
    app = getattr(importlib.import_module(f"functions.{function}.app"), "app", None)
    assert app is None or app.debug is False
    sections = [template()["Globals"]["Function"], *template_functions().values()]
    variables = {
        name: value
        for section in sections
        for name, value in section.get("Environment", {}).get("Variables", {}).items()
    }
    assert variables["POWERTOOLS_LOG_LEVEL"] == "INFO"
    assert [name for name in variables if "DEV" in name or "DEBUG" in name or name.startswith("PYTHON")] == []


@pytest.mark.asvs("14.2.2")
@pytest.mark.threat("gateway-logged-secrets")
def test_the_gateway_keeps_no_answers():
    """ASVS 14.2.2: a cache there would keep personal data, and give it to who asks next."""
    assert not template()["Resources"]["Api"]["Properties"].keys() & {"CacheClusterEnabled", "CacheClusterSize"}
    methods = template()["Resources"]["Api"]["Properties"]["MethodSettings"]
    assert {method["CachingEnabled"] for method in methods} == {False}


@pytest.mark.asvs("3.4.1", "12.2.1")
@pytest.mark.threat("gateway-plain-http")
def test_every_answer_of_the_gateways_own_asks_for_https():
    """ASVS 3.4.1: two years of HSTS, as on the functions' answers."""
    responses = template()["Resources"]["Api"]["Properties"]["GatewayResponses"]
    assert responses.keys() >= {"UNAUTHORIZED", "THROTTLED", "DEFAULT_4XX", "DEFAULT_5XX"}
    for name, response in responses.items():
        headers = response["ResponseParameters"]["Headers"]
        assert headers.get("Strict-Transport-Security") == "'max-age=63072000; includeSubDomains'", name


def test_each_environment_variable_of_the_template_is_a_setting():
    """A misspelt one would be ignored, and the default would hold."""
    sections = [template()["Globals"]["Function"], *template_functions().values()]
    names = {name for section in sections for name in section.get("Environment", {}).get("Variables", {})}
    assert {name for name in names if not name.startswith("POWERTOOLS_")} <= {
        name.upper() for name in Settings.__dataclass_fields__
    }


# --- The layer ---------------------------------------------------------------------------------------------------


def reads_the_environment(path: Path) -> bool:
    nodes = list(ast.walk(tree(path)))
    of_os = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    from_os = {
        alias.name for node in nodes if isinstance(node, ast.ImportFrom) and node.module == "os" for alias in node.names
    }
    by_name = (of_os | from_os) & {"environ", "environb", "getenv", "getenvb"}
    return bool(by_name)


def test_only_settings_reads_the_environment():
    readers = [name_of(path) for path in modules("functions", "layers") if reads_the_environment(path)]
    assert readers == ["layers/common/auth_common/settings.py"]


@pytest.mark.asvs("15.2.3")
def test_the_layer_imports_only_what_it_brings_along_or_lambda_has():
    allowed = {"auth_common", *in_the_layer(), *IN_LAMBDA, *sys.stdlib_module_names}
    assert {name_of(path): libraries(path) - allowed for path in modules("layers") if libraries(path) - allowed} == {}


@pytest.mark.asvs("11.2.1", "15.2.5")
@pytest.mark.parametrize("library", ["bcrypt", "jwt", "webauthn"])
def test_one_security_module_hides_each_security_library(library):
    users = [path for path in modules("functions", "layers") if library in libraries(path)]
    assert [name_of(path) for path in users if path.parent != LAYER / "security"] == []
    assert len(users) <= 1


@pytest.mark.parametrize("library", ["fastapi", "mangum", "starlette"])
def test_only_the_web_package_of_the_layer_knows_http(library):
    users = [path for path in modules("layers") if library in libraries(path)]
    assert [name_of(path) for path in users if path.parent != LAYER / "web"] == []


@pytest.mark.asvs("13.2.4", "14.2.3", "15.3.2", "16.2.3")
@pytest.mark.threat("function-taken-over")
def test_nothing_but_the_database_and_kms_can_be_reached_from_the_layer():
    """ASVS 13.2.4, 14.2.3: all addresses are settings, but for the one at which a deployment waits for word."""
    outward = {"aiohttp", "asyncio", "ftplib", "httpx", "imaplib", "poplib", "requests", "smtplib", "socket", "ssl"}
    outward |= {"http.client", "subprocess", "urllib", "urllib3", "xmlrpc"}
    found = {
        (name_of(path), name)
        for path in modules("functions", "layers")
        for name in imports(path)
        if {name, name.partition(".")[0]} & outward
    }
    assert found == {
        ("layers/common/auth_common/web/application.py", "asyncio"),  # the event loop that Mangum asks for
        ("layers/common/auth_common/web/custom_resources.py", "urllib.request"),  # word for CloudFormation
    }
    assert [path for path in modules("functions", "layers") if libraries(path) & AWS_CLIENTS] == [
        LAYER / "security" / "aws_calls.py"
    ]
    makes_engines = [path for path in modules("functions", "layers") if "create_engine" in path.read_text()]
    assert makes_engines == [LAYER / "db" / "engine.py"]


def test_no_module_imports_boto3_before_it_uses_it():
    early = {
        name_of(path)
        for path in modules("functions", "layers", "tools")
        for node in run_at_import(tree(path))
        if any(name.partition(".")[0] in IN_LAMBDA for name in names_imported_by(node))
    }
    assert early == set()


@pytest.mark.asvs("15.2.4")
def test_the_layers_requirements_are_those_of_the_lock():
    """`make requirements` writes them. The comment at the top names the command, which differs here."""
    run = subprocess.run(
        [
            uv_path(),
            "export",
            "--quiet",
            "--offline",
            "--locked",
            "--package",
            "auth-common",
            # Of what Aurora DSQL's dialect brings we use the dialect alone; boto3 is in Lambda's runtime.
            "--prune",
            "aurora-dsql-python-connector",
            "--no-dev",
            "--no-emit-project",
        ],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr

    def pins(text: str) -> list[str]:
        return [line for line in text.splitlines() if not line.startswith("#")]

    assert pins((LAYER.parent / "requirements.txt").read_text()) == pins(run.stdout)


# --- No input becomes code (ASVS 5.0 V1.2, V1.3, V1.5) --------------------------------------------------------------

#: They run commands or code, make objects of bytes, or read XML.
DANGEROUS_MODULES = {
    *("subprocess", "pty", "ctypes", "code", "codeop", "runpy"),
    *("pickle", "marshal", "shelve", "yaml", "xml", "lxml", "jsonpickle", "dill"),
}
DANGEROUS_NAMES = {"eval", "exec", "compile", "__import__", "system", "popen", "format_map", "execv", "spawnv"}


def called(node: ast.AST) -> str:
    """Return the last part of the name that a call calls; "" where it has none."""
    if not isinstance(node, ast.Call):
        return ""
    target = node.func
    return target.attr if isinstance(target, ast.Attribute) else target.id if isinstance(target, ast.Name) else ""


@pytest.mark.asvs("1.2.5", "1.3.6", "1.5.2", "15.2.5")
def test_no_function_can_run_commands_or_unpickle():
    found = {
        name_of(path): names_imported_by(node)
        for path in modules("functions", "layers")
        for node in ast.walk(tree(path))
        if any(name.partition(".")[0] in DANGEROUS_MODULES for name in names_imported_by(node))
    }
    assert found == {}


@pytest.mark.asvs("1.2.5", "1.3.2", "1.3.10")
def test_no_function_runs_text_as_code_or_formats_with_a_text_from_elsewhere():
    """``re.compile`` compiles a pattern, which the next test looks at."""
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in modules("functions", "layers")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and (called(node) in DANGEROUS_NAMES or (called(node) == "format" and isinstance(node.func, ast.Attribute)))
        and not (isinstance(node.func, ast.Attribute) and ast.unparse(node.func) == "re.compile")
    ]
    assert found == []


@pytest.mark.asvs("1.2.4")
def test_sql_is_written_out_and_its_values_are_bound():
    """What is not made by SQLAlchemy's expressions is one literal: nothing is put into it.

    But for what a deployment grants, since GRANT takes no parameters: its names are constants, and ARNs are checked.
    """
    statements = {
        f"{name_of(path)}:{node.lineno}": node.args[0]
        for path in modules("functions", "layers")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and called(node) in {"text", "exec_driver_sql", "literal_column", "DDL"}
        if not name_of(path).endswith("/db/privileges.py")
    }
    assert len(statements) >= 4
    assert [place for place, argument in statements.items() if not isinstance(argument, ast.Constant)] == []


def patterns() -> dict[str, str]:
    """Return the regular expressions that the layer compiles when it is imported; settings' meet no request."""
    found = {}
    for path in modules("layers"):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "re.compile":
                found[f"{name_of(path)}:{node.lineno}"] = ast.literal_eval(node.args[0])
    return {place: pattern for place, pattern in found.items() if "/settings.py" not in place}


def can_backtrack_exponentially(pattern: str) -> bool:
    """Whether one unbounded repetition stands in another, such as in ``(a+)+``; harmless ones are found as well."""

    def repeats(items: Any, *, inside: bool) -> bool:
        for operator, argument in items:
            is_repetition = operator in {sre.MAX_REPEAT, sre.MIN_REPEAT}
            is_unbounded = is_repetition and argument[1] == sre.MAXREPEAT
            if inside and is_unbounded:
                return True
            parts = [argument[2]] if is_repetition else argument[1] if operator is sre.BRANCH else [argument]
            for part in parts:
                inner = part[-1] if operator in {sre.SUBPATTERN, sre.ASSERT, sre.ASSERT_NOT} else part
                if isinstance(inner, sre.SubPattern) and repeats(inner, inside=inside or is_unbounded):
                    return True
        return False

    return repeats(sre.parse(pattern), inside=False)


@pytest.mark.asvs("1.3.12")
@pytest.mark.threat("function-slow-input")
def test_no_regular_expression_backtracks_exponentially():
    """ReDoS (ASVS 5.0 1.3.12)."""
    found = patterns()
    assert len(found) >= 7
    assert [place for place, pattern in found.items() if can_backtrack_exponentially(pattern)] == []


@pytest.mark.asvs("1.3.12")
@pytest.mark.parametrize("pattern", ["(a+)+", "(?:a*b?)*c", "((x|y+)z)+", "(?=(a+)+)b", "(?:[a-z]+ ?){2,}"])
def test_a_regular_expression_that_can_is_found(pattern):
    assert can_backtrack_exponentially(pattern)


# --- House style -------------------------------------------------------------------------------------------------

OURS = modules("benchmarks", "functions", "layers", "local_runtime", "tools")


def test_no_module_is_longer_than_300_lines():
    lengths = {name_of(path): len(path.read_text().splitlines()) for path in OURS}
    assert {path: length for path, length in lengths.items() if length > 300} == {}


def test_no_module_leaves_something_to_do():
    assert [name_of(path) for path in OURS if re.search("TODO|FIXME|XXX", path.read_text())] == []


def test_no_module_is_named_like_a_library_that_it_uses():
    """Where its folder is on the path, it would hide the library."""
    assert [name_of(path) for path in OURS if path.stem in libraries(path)] == []


def test_no_module_is_named_after_nothing():
    without_subject = {"common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}
    assert [name_of(path) for path in OURS if path.stem in without_subject] == []
