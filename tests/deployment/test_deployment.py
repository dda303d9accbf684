"""What a deployment makes of template.yaml, as SAM's own translator says: who may do what, and who gets which key."""

import json
from itertools import pairwise

import pytest

from tests.support.deployment import deployed, listed, of_type, statements, translated

pytestmark = [pytest.mark.deployment, pytest.mark.template]

READ, SIGN = "secretsmanager:GetSecretValue", ("kms:Sign", "kms:GetPublicKey")

#: Each function, and what it may do besides writing its log. A new entry is a decision.
CONNECT: dict[str, tuple[str, ...]] = {"Cluster.ResourceArn": ("dsql:DbConnect",)}
AUDIT: dict[str, tuple[str, ...]] = {"AuditKey": (READ,), "SecretsKey.Arn": ("kms:Decrypt",), **CONNECT}
PERMISSIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "Authorizer": {},
    "Register": {"Pepper": (READ,), **AUDIT},
    "Login": {"SigningKeyBlue.Arn": SIGN, "Pepper": (READ,), **AUDIT},
    "GetUser": AUDIT,
    "ChangePassword": {"Pepper": (READ,), **AUDIT},
    "StepUp": {"Pepper": (READ,), **AUDIT},
    "Refresh": {"SigningKeyBlue.Arn": SIGN, **AUDIT},
    "Sessions": AUDIT,
    "Webauthn": {"SigningKeyBlue.Arn": SIGN, **AUDIT},
    "Audit": AUDIT,
    "Jwks": {},
    "Health": CONNECT,
    "PublishKeys": {"SigningKeyBlue.Arn": ("kms:GetPublicKey",)},
    "Migrate": {"Cluster.ResourceArn": ("dsql:DbConnectAdmin",)},
    "Cleanup": AUDIT,
}


#: The functions that sign tokens.
SIGNING = ("Login", "Refresh", "Webauthn")
#: The values of ``SigningKeys`` in the order of a rotation, and each step of it, also back (a rollback).
ROTATION = ("blue", "blue+green", "green+blue", "green")
ROTATION_STEPS = [*pairwise(ROTATION), *pairwise(reversed(ROTATION))]
ROTATION_NAMES = [f"{before} to {after}" for before, after in ROTATION_STEPS]


def test_each_function_has_a_role_of_its_own():
    functions = of_type("AWS::Lambda::Function")
    roles = {f"{name}Function": f"{name}Role.Arn" for name in PERMISSIONS}
    assert {name: function["Role"] for name, function in functions.items()} == roles


@pytest.mark.asvs("13.2.2")
@pytest.mark.threat("deployment-weakened-template", "secrets-read")
def test_no_role_has_a_wildcard_or_decrypts_without_secrets_manager():
    for role in of_type("AWS::IAM::Role").values():
        for statement in statements(role):
            assert statement["Effect"] == "Allow"
            assert [a for a in listed(statement["Action"]) if "*" in a] == []
            assert [r for r in listed(statement["Resource"]) if "*" in str(r)] == []
            if statement["Action"] == "kms:Decrypt":
                (condition,) = statement["Condition"]["StringEquals"].items()
                assert condition == ("kms:ViaService", "secretsmanager.us-east-1.amazonaws.com")


@pytest.mark.asvs("13.2.2", "13.3.2")
@pytest.mark.threat("authorizer-excess-permissions", "function-taken-over", "secrets-changed", "signing-key-misuse")
@pytest.mark.parametrize("name", PERMISSIONS)
def test_a_function_may_do_what_the_table_says_and_no_more(name):
    """ASVS 13.2.2, 13.3.2."""
    role = deployed()[f"{name}Role"]["Properties"]
    assert "ManagedPolicyArns" not in role
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "lambda.amazonaws.com"}
    log, *others = statements(role)
    assert (log["Action"], log["Resource"]) == (["logs:CreateLogStream", "logs:PutLogEvents"], "FunctionLogs.Arn")
    allowed = {r: tuple(listed(s["Action"])) for s in others for r in listed(s["Resource"])}
    assert allowed == PERMISSIONS[name]


def test_only_the_gateways_logging_has_a_policy_of_awss():
    """It is one setting for the whole account; the functions' roles name what they may."""
    managed = {name for name, role in of_type("AWS::IAM::Role").items() if "ManagedPolicyArns" in role}
    assert managed == {"GatewayLogsRole"}
    assert deployed()["GatewayAccount"]["DeletionPolicy"] == deployed()["GatewayLogsRole"]["DeletionPolicy"] == "Retain"


@pytest.mark.asvs("13.3.2")
@pytest.mark.threat("authorizer-replaced-public-keys", "secrets-read")
@pytest.mark.parametrize("name", PERMISSIONS)
def test_who_may_use_a_key_or_secret_is_told_which_and_nobody_else(name):
    function = deployed()[f"{name}Function"]["Properties"]
    variables = function["Environment"]["Variables"]
    told = {variables.get("SIGNING_KEY_ARN"), variables.get("PEPPER_SECRET_ARN"), variables.get("AUDIT_KEY_SECRET_ARN")}
    usable = {"SigningKeyBlue.Arn", "Pepper", "AuditKey"} & PERMISSIONS[name].keys()
    assert told - {None} == (usable if name != "PublishKeys" else set())
    assert (variables.get("JWKS") == "PublicKeys.Jwks") == (name in {"Authorizer", "Jwks", "Webauthn"})


@pytest.mark.threat("signing-key-misuse")
@pytest.mark.parametrize(
    ("signing_keys", "published"),
    [
        ("blue", ["SigningKeyBlue.Arn"]),
        ("blue+green", ["SigningKeyBlue.Arn", "SigningKeyGreen.Arn"]),
        ("green+blue", ["SigningKeyGreen.Arn", "SigningKeyBlue.Arn"]),
        ("green", ["SigningKeyGreen.Arn"]),
    ],
)
def test_a_rotation_publishes_a_key_before_it_signs_and_after(signing_keys, published):
    resources = deployed(SigningKeys=signing_keys)
    assert resources["PublicKeys"]["Properties"]["KeyArns"] == published
    may_ask = statements(resources["PublishKeysRole"]["Properties"])[1]["Resource"]
    assert sorted(may_ask) == sorted(published)
    keys = of_type("AWS::KMS::Key", SigningKeys=signing_keys)
    signing = {name: key for name, key in keys.items() if key.get("KeyUsage") == "SIGN_VERIFY"}
    assert sorted(f"{name}.Arn" for name in signing) == sorted(published)
    assert {key["KeySpec"] for key in signing.values()} == {"ECC_NIST_P256"}
    for name in SIGNING:
        assert resources[f"{name}Function"]["Properties"]["Environment"]["Variables"]["SIGNING_KEY_ARN"] == published[0]


def _signs_with(name, signing_keys):
    """Return the key that this function's versions sign with."""
    function = deployed(SigningKeys=signing_keys)[f"{name}Function"]["Properties"]
    return function["Environment"]["Variables"]["SIGNING_KEY_ARN"]


def _may_sign_with(name, signing_keys):
    """Return the keys that this function's role may use."""
    role = deployed(SigningKeys=signing_keys)[f"{name}Role"]["Properties"]
    (sign,) = [statement for statement in statements(role) if "kms:Sign" in statement["Action"]]
    return listed(sign["Resource"])


@pytest.mark.threat("deployment-key-rotation", "signing-key-misuse")
@pytest.mark.parametrize(("before", "after"), ROTATION_STEPS, ids=ROTATION_NAMES)
@pytest.mark.parametrize("name", SIGNING)
def test_a_rotation_step_keeps_the_running_versions_key_usable(name, before, after):
    """CloudFormation changes a role minutes before the alias leaves the version that was there before.

    The reverse holds for a step that is rolled back: the role is changed back first.
    """
    running, next_one = _signs_with(name, before), _signs_with(name, after)
    assert {running, next_one} <= set(_may_sign_with(name, after))
    assert {running, next_one} <= set(_may_sign_with(name, before))


@pytest.mark.threat("deployment-key-rotation")
@pytest.mark.parametrize(("before", "after"), ROTATION_STEPS, ids=ROTATION_NAMES)
def test_a_rotation_step_leaves_no_verifier_without_a_signers_key(before, after):
    """Verifiers and signers are updated in any order, so each JWK Set has the signing key of both versions."""
    signing = {_signs_with("Login", before), _signs_with("Login", after)}
    for signing_keys in (before, after):
        assert signing <= set(deployed(SigningKeys=signing_keys)["PublicKeys"]["Properties"]["KeyArns"])


@pytest.mark.threat("signing-key-misuse")
@pytest.mark.parametrize("retired", ["blue", "green"])
def test_a_retired_key_signs_no_more(retired):
    kept = {"blue": "green", "green": "blue"}[retired]
    for name in SIGNING:
        assert _may_sign_with(name, kept) == [f"SigningKey{kept.capitalize()}.Arn"]


@pytest.mark.threat("gateway-flood")
def test_the_gateway_limits_every_route_and_most_those_that_hash():
    """ASVS 2.4.1, 15.2.2: a brake on cost; what protects accounts is in the database (decision 0012)."""
    (stage,) = of_type("AWS::ApiGateway::Stage").values()
    methods = stage["MethodSettings"]
    limits = {f"{method['HttpMethod']} {method['ResourcePath']}": method["ThrottlingRateLimit"] for method in methods}
    hashing = {"POST /~1login", "POST /~1users", "PUT /~1users~1{id}~1password", "POST /~1step-up"}
    assert limits.keys() == {"* /*", *hashing}
    assert {limits[route] for route in hashing} == {"20"}
    assert limits["* /*"] == "100"


@pytest.mark.threat("gateway-logged-secrets", "gateway-unknown-caller")
def test_the_gateway_logs_each_request_and_no_content_of_any():
    """ASVS 16.2.5, 14.2.1: neither bodies nor headers, nor the ids in paths."""
    (stage,) = of_type("AWS::ApiGateway::Stage").values()
    assert {m["DataTraceEnabled"] for m in stage["MethodSettings"]} == {False}
    assert [m for m in stage["MethodSettings"] if m.get("LoggingLevel", "OFF") != "OFF"] == []
    logged = json.loads(stage["AccessLogSetting"]["Format"])
    assert {"$context.requestId", "$context.identity.sourceIp", "$context.resourcePath", "$context.status"} <= set(
        logged.values()
    )
    assert [value for value in logged.values() if "path" in value.lower()] == ["$context.resourcePath"]
    assert stage["AccessLogSetting"]["DestinationArn"].endswith(":log-group:AccessLogs")


@pytest.mark.asvs("13.3.1")
@pytest.mark.threat("secrets-away", "secrets-weak")
def test_secrets_outlive_the_stack_and_are_random():
    """Without its pepper no password verifies, and without its key no record of the audit log."""
    for name in ("Pepper", "AuditKey"):
        secret = deployed()[name]
        # A first deployment that fails has stored nothing yet, and leaves none behind.
        assert (secret["DeletionPolicy"], secret["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
        # 62 letters and digits, 64 times: 381 bits.
        assert secret["Properties"]["GenerateSecretString"] == {"PasswordLength": 64, "ExcludePunctuation": True}
    assert deployed()["SecretsKey"]["DeletionPolicy"] == "RetainExceptOnCreate"


def test_two_stages_fit_into_one_account():
    """No name is the same in both: CloudFormation makes it, or the stack's is in it. SAM has one for schedules."""
    names = {
        (resource["Type"].rpartition("::")[2], name)
        for resource in translated()["Resources"].values()
        for name, value in resource.get("Properties", {}).items()
        if name.endswith("Name") and isinstance(value, str)
    }
    # An alias is its function's own, versions of a layer may come from both, and the others name nothing of ours.
    assert names == {
        ("Alias", "Name"),
        ("LayerVersion", "LayerName"),
        ("Topic", "DisplayName"),
        ("Alarm", "MetricName"),
    }
