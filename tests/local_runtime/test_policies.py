import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_runtime.policies import MalformedPolicy, is_allowed, matches

pytestmark = pytest.mark.local_runtime

API = "arn:aws:execute-api:us-east-1:123456789012:1234567890/local"


def statement(effect, *resources, action="execute-api:Invoke"):
    return {"Effect": effect, "Action": action, "Resource": list(resources)}


def policy(*statements):
    return {"Version": "2012-10-17", "Statement": list(statements)}


@pytest.mark.parametrize(
    ("resource", "method_and_path", "allowed"),
    [
        ("GET/users/7", "GET/users/7", True),
        ("GET/users/7", "GET/users/8", False),
        ("GET/users/7", "POST/users/7", False),
        ("GET/users/7", "GET/users/7/sessions", False),
        ("GET/users/*", "GET/users/7/sessions/8", True),
        ("GET/users/*/sessions", "GET/users/7/evil/sessions", True),
        ("GET/users/?", "GET/users/7", True),
        ("GET/users/?", "GET/users/77", False),
        ("*/users/7", "DELETE/users/7", True),
        ("GET/Users/7", "GET/users/7", False),
        ("GET/users.7", "GET/users/7", False),
        ("*", "GET/", True),
    ],
)
def test_allow_matches_by_wildcards_also_across_slashes(resource, method_and_path, allowed):
    document = policy(statement("Allow", f"{API}/{resource}"))
    assert is_allowed(document, f"{API}/{method_and_path}") is allowed


@pytest.mark.parametrize(
    ("action", "allowed"),
    [
        *[(action, True) for action in ("execute-api:Invoke", "execute-api:invoke", "execute-api:*", "*")],
        (["s3:Get*", "*"], True),
        ("execute-api:ManageConnections", False),
    ],
)
def test_only_an_action_that_includes_invoke_allows_a_request(action, allowed):
    assert is_allowed(policy(statement("Allow", "*", action=action)), f"{API}/GET/") is allowed


def test_single_statement_and_single_strings_need_no_list():
    document = {"Statement": {"Sid": "One", "Effect": "Allow", "Action": "*", "Resource": f"{API}/*"}}
    assert is_allowed(document, f"{API}/GET/users")


def test_request_to_another_stage_or_without_a_statement_is_denied():
    assert not is_allowed(policy(statement("Allow", f"{API}/*")), f"{API}2/GET/users")
    assert not is_allowed(policy(), f"{API}/GET/users")


@given(st.permutations([statement("Allow", "*"), statement("Allow", f"{API}/*"), statement("Deny", f"{API}/GET/*")]))
def test_explicit_deny_wins_in_any_order(statements):
    assert not is_allowed(policy(*statements), f"{API}/GET/users")
    assert is_allowed(policy(*statements), f"{API}/POST/users")


@pytest.mark.parametrize(
    "document",
    [
        None,
        "Allow",
        {},
        policy("Allow"),
        policy({"Effect": "Allow", "Action": "*"}),
        policy({**statement("Allow", "*"), "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}),
        policy({**statement("Allow", "*"), "NotResource": "x"}),
        policy(statement("allow", "*")),
        policy(statement("Allow", 7)),
        policy(statement("Allow", "*", action=None)),
        policy(statement("Allow", "*"), statement("Perhaps", "nowhere")),
    ],
)
def test_policy_that_cannot_be_evaluated_is_malformed(document):
    with pytest.raises(MalformedPolicy):
        is_allowed(document, f"{API}/GET/users")


def matches_by_definition(pattern, text):
    """Match by the definition of the wildcards, without regular expressions."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(matches_by_definition(pattern[1:], text[start:]) for start in range(len(text) + 1))
    return bool(text) and pattern[0] in {"?", text[0]} and matches_by_definition(pattern[1:], text[1:])


@given(st.text("*?a/.\n", max_size=6), st.text("a/.*[\n", max_size=8))
def test_wildcards_match_by_definition(pattern, text):
    assert matches(pattern, text) == matches_by_definition(pattern, text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
ALMOST_A_STATEMENT = st.fixed_dictionaries(
    {
        "Action": st.just("execute-api:Invoke") | JSON,
        "Effect": st.sampled_from(["Allow", "Deny"]) | JSON,
        "Resource": st.just(f"{API}/*") | JSON,
    },
    optional={"Sid": JSON, "Condition": JSON},
)


@given(JSON | st.fixed_dictionaries({"Statement": st.lists(ALMOST_A_STATEMENT | JSON, max_size=3) | JSON}))
def test_any_policy_document_is_evaluated_or_malformed(document):
    try:
        allowed = is_allowed(document, f"{API}/GET/users")
    except MalformedPolicy:
        return
    assert allowed in {True, False}
