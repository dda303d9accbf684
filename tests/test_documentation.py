"""The documentation, held to the code: what it lists, quotes and links to must be there, and must be all there is."""

import base64
import importlib
import json
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import botocore.session
import jwt
import pytest
from botocore import xform_name

from auth_common.db.tables import metadata
from auth_common.errors import ServiceError, StepUpRequired
from auth_common.monitoring.event_catalogue import CATALOGUE
from auth_common.monitoring.vocabulary import SecurityEvent
from auth_common.security import mfa_tokens
from auth_common.security.access_tokens import issue_access_token
from auth_common.security.jwk import public_jwk, public_key
from auth_common.security.password_policy import LONGEST, SHORTEST
from auth_common.services import audit, challenges, passkeys
from auth_common.services.refresh import GRACE
from auth_common.services.sessions import PAGE_SIZE
from auth_common.settings import Settings
from auth_common.web.json_body import LARGEST
from local_runtime.cloudformation import read_template
from local_runtime.template import load_template
from tests.support.proofs import exists
from tools import security_events_page, threat_model
from tools.asvs_register import register

pytestmark = pytest.mark.docs

PROJECT = Path(__file__).parents[1]
README = PROJECT / "README.md"
ARCHITECTURE = PROJECT / "docs" / "architecture.md"
INVENTORIES = PROJECT / "docs" / "security-inventories.md"
WALKTHROUGH = PROJECT / "docs" / "walkthrough.md"
DEPLOY = PROJECT / "docs" / "deploy.md"
THREATS = PROJECT / "docs" / "threat-model.md"
RUNBOOKS = PROJECT / "docs" / "runbooks"
DECISIONS = PROJECT / "docs" / "decisions"
COMMON_PASSWORDS = PROJECT / "layers/common/auth_common/security/common_passwords.txt"
DEFAULTS: dict[str, Any] = {name: field.default for name, field in Settings.__dataclass_fields__.items()}
RETENTION = DEFAULTS["audit_retention_days"]

#: Of the table of counters in decision 0012, behind the first.
COUNTER_COLUMNS = ("Failures until a lock", "Ends")

#: The folders that hold pages and what pages speak of; not .venv, node_modules and whatever else lies around.
FOLDERS = ("benchmarks", "docs", "examples", "functions", "layers", "local_runtime", "tests", "tools")
PAGES = sorted([*PROJECT.glob("*.md"), *(page for folder in FOLDERS for page in (PROJECT / folder).rglob("*.md"))])

FENCE = re.compile(r"^```(?P<language>\w*) ?(?P<of>\S*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
SPAN = re.compile(r"`([^`\n]+)`")
PATH = re.compile(rf"(?<![\w./-])(?:{'|'.join(FOLDERS)})/[\w./-]*")


def each_page(test):
    return pytest.mark.parametrize("page", PAGES, ids=[page.relative_to(PROJECT).as_posix() for page in PAGES])(test)


def prose(page: Path) -> str:
    """Return a page without its code blocks."""
    return FENCE.sub("", page.read_text())


def commands(page: Path) -> list[str]:
    """Return what a page says to type, and everything else that it writes as code in a line."""
    blocks = [match["text"] for match in FENCE.finditer(page.read_text()) if match["language"] == "sh"]
    return [*SPAN.findall(prose(page)), *blocks]


@cache
def section(page: Path, title: str) -> str:
    """Return a section of a page, from its heading to the next one of the same level or a higher one."""
    text = page.read_text()
    heading = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert heading, f"{page.name} has no section called {title}"
    rest = text[heading.end() :]
    following = re.search(rf"^#{{1,{len(heading[1])}}} ", rest, re.MULTILINE)
    return rest[: following.start()] if following else rest


def table(page: Path, title: str, *columns: str) -> list[list[str]]:
    """Return the rows of the table with these columns in a section."""
    header = f"| {' | '.join(columns)} |\n"
    _, found, rest = section(page, title).partition(header)
    assert found, f"{page.name}, {title}: no table with the columns {columns}"
    lines = rest.split("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def code(cell: str) -> str:
    """Return what a cell shows as code; "" for an empty cell."""
    return "".join(SPAN.findall(cell))


# --- Links and names -------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_each_link_leads_somewhere(page):
    broken = []
    for match in LINK.finditer(prose(page)):
        target = match["target"]
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or not file.is_relative_to(PROJECT) or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


@each_page
def test_each_path_that_a_page_names_exists(page):
    assert [path for path in PATH.findall(LINK.sub("", page.read_text())) if not (PROJECT / path).exists()] == []


@each_page
def test_each_make_target_exists(page):
    targets = set(re.findall(r"^([a-z][\w-]*):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    named = {name for text in commands(page) for name in re.findall(r"\bmake ([a-z][\w-]*)", text)}
    assert named - targets == set()


@each_page
def test_each_tool_that_uv_shall_run_exists(page):
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    installed = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    tools = {"python", *project["project"]["scripts"], *(re.split(r"[\[><=]", name)[0] for name in installed)}
    named = {name for text in commands(page) for name in re.findall(r"\buv run (?:--\S+ )*([a-z][\w-]*)", text)}
    assert named - tools == set()


def test_each_operators_tool_is_in_the_readme():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    shown = section(README, "For operators")
    assert [name for name in project["project"]["scripts"] if f"uv run {name} " not in shown] == []


#: What AWS CLI adds to the operations of AWS's services, and options that all of them take.
ADDED_COMMANDS = {"dsql generate-db-connect-admin-auth-token", "logs tail"}
GLOBAL_OPTIONS = {"output", "profile", "query", "region"}
AWS_COMMAND = re.compile(r"\baws ([a-z][a-z0-9]*) ([a-z][a-z0-9-]+)((?:[ \t]+(?!aws )[^\s|;)]+)*)")


def unknown_to_aws(command: re.Match[str]) -> list[str]:
    """Return what AWS's services do not know of a command: the operation, or options of it."""
    service, operation, rest = command.groups()
    if f"{service} {operation}" in ADDED_COMMANDS:
        return []
    model = botocore.session.get_session().get_service_model(service)
    operations = {xform_name(name, "-"): name for name in model.operation_names}
    if operation not in operations:
        return [command[0]]
    shape = model.operation_model(operations[operation]).input_shape
    options = {xform_name(name, "-") for name in (shape.members if shape else {})} | GLOBAL_OPTIONS
    named = re.findall(r"--([a-z][a-z0-9-]*)", rest)
    return [f"{command[0]}: {name}" for name in named if name.removeprefix("no-") not in options]


@each_page
def test_each_operation_of_aws_exists_and_takes_these_options(page):
    texts = [re.sub(r"\\\n *", "", text) for text in commands(page)]
    assert [fault for text in texts for match in AWS_COMMAND.finditer(text) for fault in unknown_to_aws(match)] == []


@pytest.mark.parametrize("text", ["aws kms forget-key", "aws kms disable-key --key ID", "aws logs tails GROUP"])
def test_a_command_that_aws_does_not_have_is_noticed(text):
    command = AWS_COMMAND.search(text)
    assert command
    assert unknown_to_aws(command)


def test_the_guide_marks_what_takes_an_account():
    blocks = [match["text"] for match in FENCE.finditer(DEPLOY.read_text()) if match["language"] == "sh"]
    takes_one = [text for text in blocks if re.search(r"^(aws|sam|make build)|\$\(aws |API-URL", text, re.MULTILINE)]
    assert blocks
    assert [text for text in blocks if text.startswith("# on AWS\n") != (text in takes_one)] == []


def commands_of(tool: str) -> set[str]:
    """Return the subcommands that the pages tell somebody to run."""
    named = re.compile(rf"\buv run {tool} (?:--\S+ \S+ )?([a-z][\w-]*)")
    return {name for page in PAGES for text in commands(page) for name in named.findall(text)}


@pytest.mark.parametrize("tool", ["accounts", "audit", "authenticator", "keys"])
def test_each_command_of_a_tool_exists(tool, capsys):
    named = commands_of(tool)
    assert named
    main = importlib.import_module(f"tools.{tool}").main
    for name in named:
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0, f"uv run {tool} {name}"


@pytest.mark.parametrize("tool", ["accounts", "audit"])
def test_the_readme_shows_each_command_of_a_tool(tool, capsys):
    with pytest.raises(SystemExit):
        importlib.import_module(f"tools.{tool}").main(["--help"])
    offered = re.search(r"\{([\w,-]+)\}", capsys.readouterr().out)
    assert offered
    shown = set(re.findall(rf"^uv run {tool} ([\w-]+)", section(README, "For operators"), re.MULTILINE))
    assert shown == set(offered[1].split(","))


def test_the_readme_leads_to_the_list_of_runbooks():
    """Which has them all: tests/test_alarms.py."""
    assert "(docs/runbooks/README.md)" in section(README, "For operators")


# --- What the README lists -------------------------------------------------------------------------------------------


def test_the_readme_lists_the_routes_of_the_template():
    rows = table(README, "Endpoints", "Request", "Access", "Success", "Other answers")
    routes = load_template(PROJECT / "template.yaml").routes
    expected = {(f"{route.method} {route.path}", "bearer" if route.authorizer else "open") for route in routes}
    assert {(code(request), access) for request, access, *_ in rows} == expected
    assert len(rows) == len(expected)


def problem_rows() -> set[tuple[int, str]]:
    rows = table(README, "When something does not work", "Status", "`code`", "What it means and what to do")
    return {(int(status), code(name)) for status, name, _ in rows}


def kinds_of(error: type[ServiceError]) -> Iterator[type[ServiceError]]:
    yield error
    for kind in error.__subclasses__():
        yield from kinds_of(kind)


def test_the_readme_lists_every_problem_that_the_service_and_the_gateway_answer():
    resources = read_template(PROJECT / "template.yaml")["Resources"].values()
    (api,) = (resource for resource in resources if resource["Type"] == "AWS::Serverless::Api")
    bodies = [
        json.loads(response["ResponseTemplates"]["application/json"])
        for response in api["Properties"]["GatewayResponses"].values()
    ]
    of_the_gateway = {(body["status"], body["code"]) for body in bodies}
    of_the_service = {(error.status, error.code) for error in kinds_of(ServiceError) if is_ours(error)}
    assert problem_rows() == of_the_service | of_the_gateway


def is_ours(error: type[ServiceError]) -> bool:
    """Tests define errors of their own."""
    return error.__module__ == "auth_common.errors"


def test_the_endpoints_name_problems_with_their_status():
    cells = [row[3] for row in table(README, "Endpoints", "Request", "Access", "Success", "Other answers")]
    named = {(int(status), name) for cell in cells for status, name in re.findall(r"(\d{3}) `(\w+)`", cell)}
    assert named
    assert named <= problem_rows()


def shown_default(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def shown_bounds(name: str) -> str:
    rules = Settings.__dataclass_fields__[name].metadata
    return str(rules.get("bounds", "")) or ", ".join(f"`{value}`" for value in rules.get("choices", ()))


def test_the_readme_lists_the_settings_with_their_defaults_and_bounds():
    rows = table(README, "Settings", "Variable", "Default", "Bounds", "Meaning")
    expected = [(name.upper(), shown_default(default), shown_bounds(name)) for name, default in DEFAULTS.items()]
    assert [(code(name), code(default), bounds) for name, default, bounds, _ in rows] == expected


def test_the_readme_names_the_settings_that_the_template_has():
    """Any other one does nothing in the shell."""
    (sentence,) = re.findall(r"The template has (.*?)\.\s", section(README, "Settings"), re.DOTALL)
    variables = read_template(PROJECT / "template.yaml")["Globals"]["Function"]["Environment"]["Variables"]
    settings = {name.upper() for name in Settings.__dataclass_fields__}
    assert set(re.findall("`([A-Z_]+)`", sentence)) == variables.keys() & settings


def minutes(seconds: int) -> str:
    assert seconds % 60 == 0
    return f"{seconds // 60} minutes"


def test_what_the_readme_calls_implemented_is_met():
    rows = table(README, "Implemented", "Where", "Control", "ASVS")
    named = {number for *_, numbers in rows for number in numbers.split(", ") if number}
    met = {number for number, entry in register().entries.items() if entry.status in {"met", "infrastructure"}}
    assert named - met == set()
    assert named


@pytest.mark.asvs("2.1.3")
@pytest.mark.parametrize(
    ("page", "text"),
    [
        (README, f"{SHORTEST} to {LONGEST} characters"),
        (README, f"{len(COMMON_PASSWORDS.read_text().splitlines()):,} commonest".replace(",", " ")),
        (README, f"bodies have at most {LARGEST // 1024} KiB"),
        (README, f"one's own sessions, {PAGE_SIZE} a page"),
        (README, f"the audit log, newest first, {audit.PAGE_SIZE} a page"),
        (README, f"chains of the audit log after {RETENTION} days"),
        (README, f"records of unknown people after {RETENTION} days"),
        (INVENTORIES, f"`AUDIT_RETENTION_DAYS`, {RETENTION} by default"),
        (INVENTORIES, f"one JSON object of {LARGEST // 1024} KiB at most"),
        (INVENTORIES, f"at registration {SHORTEST} to {LONGEST} characters"),
        (INVENTORIES, f"| passkeys | {passkeys.MOST} | a person |"),
        (INVENTORIES, f"1, and for {GRACE.seconds} seconds more"),
        (INVENTORIES, f"| rows on a page | {PAGE_SIZE} | a list |"),
        (README, f"A person has {passkeys.MOST} at most"),
        (README, f"is {minutes(StepUpRequired.max_age)} old at most"),
        (README, f"once and within {minutes(challenges.LIFETIME.seconds)}"),
        (README, f"expired after {minutes(mfa_tokens.LIFETIME)}"),
        (INVENTORIES, f"An `mfa_token` lives for {minutes(mfa_tokens.LIFETIME)}"),
        (WALKTHROUGH, f"{StepUpRequired.headers['WWW-Authenticate']}`"),
        (WALKTHROUGH, f"comes back within {GRACE.seconds} s"),
        (DECISIONS / "0008-refresh-grace-returns-the-same-successor.md", f"For {GRACE.seconds} seconds"),
    ],
    ids=[
        "password length",
        "common passwords",
        "body",
        "page",
        "page, audit log",
        "retention",
        "retention, unknown people",
        "retention, inventory",
        "body, inventory",
        "password length, inventory",
        "passkeys, inventory",
        "grace, inventory",
        "page, inventory",
        "passkeys",
        "fresh login",
        "challenge",
        "mfa_token",
        "mfa_token, inventory",
        "step-up header",
        "grace",
        "grace, decided",
    ],
)
def test_numbers_in_the_text_are_those_of_the_code(page, text):
    assert text in page.read_text()


# --- The example token -----------------------------------------------------------------------------------------------

TOKEN_SECTION = "An access token, claim by claim"


def example() -> tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return the README's token, and the header, payload and JWK that it shows."""
    blocks = [(match["language"], match["text"]) for match in FENCE.finditer(section(README, TOKEN_SECTION))]
    assert [language for language, _ in blocks] == ["text", "json", "json", "json"]
    token, *documents = (text for _, text in blocks)
    header, payload, jwk = map(json.loads, documents)
    return token.strip(), header, payload, jwk


def test_the_example_token_verifies_with_the_key_beside_it():
    token, _, payload, jwk = example()
    verified = jwt.decode(
        token,
        jwt.PyJWK(jwk),
        algorithms=["ES256"],
        issuer=DEFAULTS["token_issuer"],
        audience=DEFAULTS["token_audience"],
        options={"verify_exp": False},
    )
    assert verified == payload


def test_the_example_token_does_not_verify_when_a_claim_is_changed():
    token, _, payload, jwk = example()
    header, _, signature = token.split(".")
    forged = base64.urlsafe_b64encode(json.dumps({**payload, "role": "admin"}).encode()).rstrip(b"=").decode()
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(
            f"{header}.{forged}.{signature}", jwt.PyJWK(jwk), algorithms=["ES256"], options={"verify_aud": False}
        )


def test_the_parts_that_the_readme_shows_are_those_of_the_token():
    token, header, payload, jwk = example()
    decoded = [json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2]]
    assert decoded == [header, payload]
    assert public_jwk(public_key(jwk)) == jwk
    assert header["kid"] == jwk["kid"]


def test_the_example_token_looks_like_those_that_the_service_issues(environment):
    issued = issue_access_token(
        user_id=uuid4(), role="user", session_id=uuid4(), token_version=0, amr=("pwd",), auth_time=0, now=0
    )
    _, header, payload, _ = example()
    claims = jwt.decode(issued, options={"verify_signature": False})
    assert payload.keys() == claims.keys()
    assert {name: type(value) for name, value in payload.items()} == {n: type(v) for n, v in claims.items()}
    assert (payload["exp"] - payload["iat"], payload["iss"], payload["aud"]) == (
        claims["exp"] - claims["iat"],
        claims["iss"],
        claims["aud"],
    )
    kid = {"kid": header["kid"]}
    assert {**jwt.get_unverified_header(issued), **kid} == header


def test_each_claim_is_explained():
    _, _, payload, _ = example()
    assert [code(claim) for claim, _ in table(README, TOKEN_SECTION, "Claim", "What it says")] == list(payload)


# --- Architecture, inventories and walkthrough -----------------------------------------------------------------------


def test_the_data_model_has_the_tables_and_columns_of_the_code():
    entities = re.findall(r"^    (\w+) \{\n(.*?)^    \}", section(ARCHITECTURE, "Data"), re.MULTILINE | re.DOTALL)
    drawn = {name: [line.split()[1] for line in columns.splitlines()] for name, columns in entities}
    assert drawn == {table.name: [column.name for column in table.columns] for table in metadata.tables.values()}


@pytest.mark.asvs("2.1.3", "6.1.1")
@pytest.mark.parametrize("page", [INVENTORIES, DECISIONS / "0012-throttling-in-the-database.md"], ids=lambda p: p.stem)
def test_each_counter_is_listed_with_its_budget(page):
    """In the inventory under the name of its setting, too."""
    if page == INVENTORIES:
        rows = table(page, "What slows guessing down", "Counter", "Of", "Failures until a lock", "Setting")
        defaults = [DEFAULTS[code(row[3]).lower()] for row in rows]
        assert [int(row[2].split()[0]) for row in rows] == defaults
        names = [code(row[0]) for row in rows]
    else:
        names = re.findall(r"`(\w+)`", "".join(row[0] for row in table(page, "Decision", "Counter", *COUNTER_COLUMNS)))
        names.remove("mfa_token")
    assert sorted(names) == sorted(CATALOGUE[SecurityEvent.EXCESS_RATE_LIMIT_EXCEEDED].reasons)


def test_the_page_of_security_events_is_written_from_the_code():
    written = security_events_page.PAGE.read_text()
    assert written == security_events_page.page(), "run `make security-events`"


@pytest.mark.parametrize(
    ("page", "title", "columns"),
    [
        (RUNBOOKS / "verify-the-audit-log.md", "It has found something", ("Finding", "What it can be")),
        (WALKTHROUGH, "A chain of MACs", ("Somebody with access to the database", "The finding", "Needs lines")),
    ],
    ids=["runbook", "walkthrough"],
)
def test_findings_are_in_the_words_of_the_verification(page, title, columns):
    place = next(number for number, name in enumerate(columns) if "inding" in name)
    findings = [SPAN.search(row[place]) for row in table(page, title, *columns)]
    words = {found[1].removesuffix(" …") for found in findings if found}
    source = (PROJECT / "layers/common/auth_common/services/audit_verification.py").read_text()
    assert len(words) >= 5
    assert [finding for finding in words if finding not in source] == []


def snippets() -> list[tuple[str, str]]:
    return [
        (match["of"], match["text"])
        for page in PAGES
        for match in FENCE.finditer(page.read_text())
        if match["language"] == "python" and match["of"]
    ]


@pytest.mark.parametrize(("of", "text"), snippets(), ids=[of.rpartition("auth_common/")[2] for of, _ in snippets()])
def test_a_snippet_is_the_code_as_it_is(of, text):
    """``...`` on a line of its own stands for what is left out."""
    source = (PROJECT / of).read_text()
    place = 0
    for part in re.split(r"^ *\.\.\.\n", text, flags=re.MULTILINE):
        found = source.find(part, place)
        assert found >= 0, f"not, or not in this order, in {of}:\n{part}"
        place = found + len(part)


def test_the_walkthrough_quotes_code():
    assert len({of for of, _ in snippets()}) > 5


# --- Threat model ----------------------------------------------------------------------------------------------------

THREAT_COLUMNS = ("Id", "Kind", "Threat", "Control", "Proof", "What remains")
STRIDE = "STRIDE"


def threats() -> dict[str, list[list[str]]]:
    """Return the rows of each element's table."""
    titles = re.findall(r"^### (.*)$", section(THREATS, "Element by element"), re.MULTILINE)
    return {title: table(THREATS, title, *THREAT_COLUMNS) for title in titles}


def test_each_element_of_the_picture_has_its_threats_and_nothing_else_has():
    drawn = re.findall(r'\[+\(?"?(\d+ [^<"\])]+)', section(THREATS, "The picture"))
    assert sorted(drawn) == sorted(threats())
    assert len(drawn) > 10


def test_each_threat_has_an_id_of_its_own():
    ids = [row[0] for rows in threats().values() for row in rows]
    assert ids == threat_model.ids(THREATS.read_text())
    assert len(ids) == len({*ids})


def test_each_threat_names_its_kinds():
    kinds = {row[1] for rows in threats().values() for row in rows}
    assert {letter for kind in kinds for letter in kind} == {*STRIDE}
    assert [kind for kind in kinds if not kind] == []


def test_all_six_kinds_are_asked_of_the_gateway_and_of_the_functions():
    for element in ("1 API Gateway and WAF", "3 Functions"):
        assert {letter for row in threats()[element] for letter in row[1]} == {*STRIDE}, element


def test_each_threat_has_a_proof_or_waits_for_aws_and_says_so():
    """That the tests in this column exist and are all: tests/tools/test_proofs.py."""
    absent, unproved = [], []
    for rows in threats().values():
        for name, _, _, _, proof, _ in rows:
            by_hand = threat_model.without_tests(proof)
            absent += [document for document in SPAN.findall(by_hand) if not exists(document)]
            waits = "(deploy.md#what-only-aws-can-show)" in proof or proof.startswith("none:")
            if not SPAN.search(proof) and not waits:
                unproved.append(name)
    assert (absent, unproved) == ([], [])


# --- Decisions -------------------------------------------------------------------------------------------------------


def decisions() -> list[Path]:
    return sorted(page for page in DECISIONS.glob("*.md") if page.name != "README.md")


def title_of(page: Path) -> str:
    return page.read_text().splitlines()[0].removeprefix("# ")


def test_decisions_are_numbered_without_a_gap():
    numbers = [page.name[:4] for page in decisions()]
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]
    assert [title_of(page).partition(": ")[0] for page in decisions()] == numbers


def test_a_decision_has_a_context_a_decision_and_consequences():
    parts = {page.name: re.findall(r"^## (.*)$", page.read_text(), re.MULTILINE) for page in decisions()}
    assert {name: found for name, found in parts.items() if found != ["Context", "Decision", "Consequences"]} == {}


def test_the_list_of_decisions_is_complete():
    listed = re.findall(r"^\| \[(\d{4})\]\((\S+)\) \| (.*) \|$", (DECISIONS / "README.md").read_text(), re.MULTILINE)
    assert listed == [(page.name[:4], page.name, title_of(page).partition(": ")[2]) for page in decisions()]


def test_each_decision_that_the_code_cites_exists():
    sources = [path for folder in FOLDERS for path in (PROJECT / folder).rglob("*.py")]
    cited = {number for path in sources for number in re.findall(r"docs/decisions/(\d{4})", path.read_text())}
    assert cited
    assert cited <= {page.name[:4] for page in decisions()}
