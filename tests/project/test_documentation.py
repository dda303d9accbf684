"""The documentation names only existing things, and mentions every tool, route, error code, setting and counter."""

import base64
import importlib
import json
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from typing import Any
from uuid import uuid4

import botocore.session
import jwt
import pytest
from botocore import xform_name

from auth_common.database.tables import metadata
from auth_common.errors import ServiceError
from auth_common.events.catalogue import CATALOGUE
from auth_common.events.vocabulary import SecurityEvent
from auth_common.keys.jwk import public_jwk, public_key
from auth_common.settings import Settings
from auth_common.tokens.access_tokens import issue_access_token
from local_runtime.cloudformation import read_template
from local_runtime.template import Route
from tests.support.documentation import DOCUMENTATION, FOLDERS, PAGES, blocks, commands, exists, prose
from tests.support.routes import ROUTES
from tests.support.runtime import PROJECT
from tools.docs import threat_model

pytestmark = pytest.mark.docs

SETTINGS = Settings.__dataclass_fields__
DECISIONS = {page.name: page for page in (PROJECT / "docs" / "decisions").glob("[0-9]*.md")}
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())
SCRIPTS = PYPROJECT["project"]["scripts"]

LINK = re.compile(r"\[[^\]]*\]\((?!https?://)(?P<target>[^)\s]+)\)")
PATH = re.compile(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w./-]*")


def named(pattern: str) -> set[str]:
    """Return the matches of a pattern's first group in the commands of all pages."""
    return {name for page in PAGES.values() for text in commands(page) for name in re.findall(pattern, text)}


def test_links_paths_make_targets_and_tools_in_pages_exist():
    links = [(page, match["target"]) for page, text in PAGES.items() for match in LINK.finditer(prose(text))]
    assert links
    assert [(str(page), target) for page, target in links if not exists(target, page=page)] == []
    paths = [(page, path) for page, text in PAGES.items() for path in PATH.findall(LINK.sub("", text))]
    assert paths
    assert [(str(page), path) for page, path in paths if not (PROJECT / path).exists()] == []
    targets = set(re.findall(r"^([a-z][\w-]*):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    assert named(r"\bmake ([a-z][\w-]*)") - targets == set()
    installed = [*PYPROJECT["project"]["dependencies"], *PYPROJECT["dependency-groups"]["dev"]]
    tools = {"python", *SCRIPTS, *(re.split(r"[\[><=]", name)[0] for name in installed)}
    assert named(r"\buv run (?:--\S+ )*([a-z][\w-]*)") - tools == set()


@pytest.mark.parametrize("tool", SCRIPTS)
def test_each_tool_and_subcommand_is_documented(tool, capsys):
    with pytest.raises(SystemExit):
        importlib.import_module(SCRIPTS[tool].partition(":")[0]).main(["--help"])
    choices = re.search(r"\{([\w,-]+)\}", capsys.readouterr().out)
    subcommands = set(choices[1].split(",")) if choices else set()
    shown = named(rf"\buv run {tool} (?:--\S+ \S+ )?([a-z][\w-]*)")
    assert shown <= subcommands
    assert [name for name in subcommands - shown if f"`{name}`" not in DOCUMENTATION] == []
    assert f"uv run {tool}" in DOCUMENTATION


#: Commands that AWS CLI has in addition to the operations of the AWS services, and options of every command.
ADDED_COMMANDS = {"dsql generate-db-connect-admin-auth-token", "logs tail", "s3 cp", "s3 ls"}
GLOBAL_OPTIONS = {"cli-read-timeout", "output", "profile", "query", "region"}
AWS_COMMAND = re.compile(r"\baws ([a-z][a-z0-9]*) ([a-z][a-z0-9-]+)((?:[ \t]+(?!aws )[^\s|;)]+)*)")


@cache
def service_model(service: str) -> Any:
    # The AWS CLI has another name for the API of S3 than botocore.
    return botocore.session.get_session().get_service_model("s3" if service == "s3api" else service)


def unknown_to_aws(text: str) -> Iterator[str]:
    """Yield the AWS CLI commands in a text whose operation or option does not exist."""
    for command in AWS_COMMAND.finditer(re.sub(r"\\\n *", "", text)):
        service, operation, rest = command.groups()
        if f"{service} {operation}" in ADDED_COMMANDS:
            continue
        model = service_model(service)
        operations = {xform_name(name, "-"): name for name in model.operation_names}
        if operation not in operations:
            yield command[0]
            continue
        shape = model.operation_model(operations[operation]).input_shape
        options = {xform_name(name, "-") for name in (shape.members if shape else {})} | GLOBAL_OPTIONS
        for option in re.findall(r"--([a-z][a-z0-9-]*)", rest):
            if option.removeprefix("no-") not in options:
                yield f"{command[0]}: {option}"


def test_aws_commands_in_pages_exist_with_their_options():
    texts = [text for page in PAGES.values() for text in commands(page)]
    assert any(AWS_COMMAND.search(text) for text in texts)
    assert [fault for text in texts for fault in unknown_to_aws(text)] == []


@pytest.mark.parametrize("text", ["aws kms forget-key", "aws kms disable-key --key ID", "aws logs tails GROUP"])
def test_unknown_aws_command_is_found(text):
    assert list(unknown_to_aws(text))


def test_commands_that_need_an_aws_account_are_marked():
    """Checked on the pages that use the mark ``# on AWS``."""
    marking = [page for page in PAGES.values() if "# on AWS\n" in page]
    shown = [text for page in marking for text in blocks(page, "sh")]
    needs_account = re.compile(r"^(aws|sam|make build)|\$\(aws |API-URL|PUBLIC-URL", re.MULTILINE)
    assert shown
    assert [text for text in shown if text.startswith("# on AWS\n") != bool(needs_account.search(text))] == []


def test_each_route_is_documented():
    def spellings(route: Route) -> Iterator[str]:
        yield f"`{route.method} {route.path}`"
        if route.method in {"GET", "HEAD"}:  # A table has one row for both.
            yield f"`GET`, `HEAD {route.path}`"

    assert [route for route in ROUTES if not any(text in DOCUMENTATION for text in spellings(route))] == []


def kinds_of(error: type[ServiceError]) -> Iterator[type[ServiceError]]:
    yield error
    for kind in error.__subclasses__():
        yield from kinds_of(kind)


def test_each_error_code_is_documented():
    (api,) = (
        each["Properties"]
        for each in read_template(PROJECT / "template.yaml")["Resources"].values()
        if each["Type"] == "AWS::Serverless::Api"
    )
    bodies = [json.loads(each["ResponseTemplates"]["application/json"]) for each in api["GatewayResponses"].values()]
    of_the_service = {error.code for error in kinds_of(ServiceError) if error.__module__ == "auth_common.errors"}
    codes = of_the_service | {body["code"] for body in bodies}
    assert [code for code in codes if f"`{code}`" not in DOCUMENTATION] == []


def test_each_setting_is_documented_with_default_and_bounds():
    def shown(value: Any) -> str:
        text = ",".join(value) if isinstance(value, tuple) else str(value)
        return f"`{text.lower() if isinstance(value, bool) else text}`" if value not in (None, ()) else ""

    def is_shown(name: str) -> bool:
        field = SETTINGS[name]
        rules = field.metadata
        parts = [shown(field.default), str(rules.get("bounds", "")), *map(shown, rules.get("choices", ()))]
        rows = re.findall(rf"^\| *`{name.upper()}` *\|.*$", DOCUMENTATION, re.MULTILINE)
        return any(all(part in row for part in parts) for row in rows)

    assert [name for name in SETTINGS if not is_shown(name)] == []


@pytest.mark.asvs("2.1.3", "6.1.1")
def test_each_rate_limit_counter_is_documented():
    """The test above finds the limits, which are settings. The name of a counter is the reason of its event."""
    counters = CATALOGUE[SecurityEvent.EXCESS_RATE_LIMIT_EXCEEDED].reasons
    written_by_hand = (PROJECT / "docs" / "security-inventories.md").read_text()
    assert counters
    assert [name for name in counters if f"`{name}`" not in written_by_hand] == []


def test_data_model_diagram_has_all_tables_and_columns():
    entities = re.findall(
        r"^ *(\w+) \{\n(.*?)^ *\}", "".join(blocks(DOCUMENTATION, "mermaid")), re.MULTILINE | re.DOTALL
    )
    drawn = {name: {line.split()[1] for line in columns.splitlines()} for name, columns in entities}
    assert drawn == {table.name: {column.name for column in table.columns} for table in metadata.tables.values()}


def test_decisions_are_listed_and_cited_ones_exist():
    listed = (PROJECT / "docs" / "decisions" / "README.md").read_text()
    assert [name for name in DECISIONS if f"[{name[:4]}]({name})" not in listed] == []
    sources = [path for folder in FOLDERS for path in (PROJECT / folder).rglob("*.py")]
    cited = {number for path in sources for number in re.findall(r"docs/decisions/(\d{4})", path.read_text())}
    assert cited
    assert cited <= {name[:4] for name in DECISIONS}


def test_each_threat_has_a_unique_id_and_a_proof():
    """A threat without a proof says "none:" and why. tests/tools/docs/test_proofs.py checks proofs that are tests."""
    threats = threat_model.threats(threat_model.PAGE.read_text())
    ids = [name for name, _ in threats]
    assert len(ids) == len({*ids}) > 10
    assert [name for name, proof in threats if not re.search(r"`|\]\(|none:", proof)] == []
    by_hand = {name: re.findall("`([^`]+)`", threat_model.without_tests(proof)) for name, proof in threats}
    assert [(name, proof) for name, proofs in by_hand.items() for proof in proofs if not exists(proof)] == []


@cache
def example() -> tuple[str, str, dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return the page with the example token, the token, its decoded header and payload, and the public key (JWK)."""
    (page,) = (text for text in PAGES.values() if re.search(r"^eyJ[\w-]+\.eyJ", text, re.MULTILINE))
    (token,) = re.findall(r"^eyJ[\w-]+\.[\w-]+\.[\w-]+$", page, re.MULTILINE)
    documents = [json.loads(text) for text in blocks(page, "json")]
    header, payload, jwk = (
        next(document for document in documents if member in document) for member in ("typ", "exp", "kty")
    )
    return page, token, header, payload, jwk


def test_example_token_verifies_and_a_changed_one_does_not():
    _, token, header, payload, jwk = example()

    def verify(token):
        return jwt.decode_complete(
            token,
            jwt.PyJWK(jwk),
            algorithms=["ES256"],
            issuer="https://login.example.com",
            audience="https://orders.example.com",
            options={"verify_exp": False},
        )

    verified = verify(token)
    assert (verified["header"], verified["payload"]) == (header, payload)
    assert public_jwk(public_key(jwk)) == jwk
    assert header["kid"] == jwk["kid"]
    before, _, signature = token.split(".")
    forged = base64.urlsafe_b64encode(json.dumps({**payload, "role": "admin"}).encode()).rstrip(b"=").decode()
    with pytest.raises(jwt.InvalidSignatureError):
        verify(f"{before}.{forged}.{signature}")


def test_example_token_has_the_claims_of_issued_tokens(environment):
    page, _, header, payload, _ = example()
    issued = issue_access_token(
        user_id=uuid4(), role="user", session_id=uuid4(), token_version=0, amr=("pwd",), auth_time=0, now=0
    )
    claims = jwt.decode(issued, options={"verify_signature": False})
    assert {name: type(value) for name, value in payload.items()} == {n: type(v) for n, v in claims.items()}
    assert payload["exp"] - payload["iat"] == claims["exp"] - claims["iat"]
    assert jwt.get_unverified_header(issued) | {"kid": header["kid"]} == header
    assert [claim for claim in claims if f"`{claim}`" not in prose(page)] == []


def test_readme_shows_the_claims_of_the_example_token():
    """A long value is abbreviated: ``"3f0e6a52-…"``."""
    *_, payload, _ = example()
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| `([^`]+)` \|", PAGES[PROJECT / "README.md"], re.MULTILINE)
    shown = {claim: value for names, value in rows for claim in re.findall(r"\w+", names)}
    values = {claim: re.escape(shown[claim]).replace("…", ".*") for claim in payload}
    assert [claim for claim in payload if not re.fullmatch(values[claim], json.dumps(payload[claim]))] == []


@pytest.mark.parametrize("name", ["docs/configuration.md", "docs/errors.md"])
def test_each_generated_row_has_its_hand_written_cells(name):
    """``make docs`` adds a row with empty cells for a new setting or error code."""
    assert re.findall(r"^\|.*\|\s*\|$", PAGES[PROJECT / name], re.MULTILINE) == []


def test_changelog_release_has_each_section_once():
    releases = re.split(r"^## ", (PROJECT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)[1:]
    assert releases
    for release in releases:
        sections = re.findall(r"^### (.+)$", release, re.MULTILINE)
        assert len(sections) == len(set(sections))
