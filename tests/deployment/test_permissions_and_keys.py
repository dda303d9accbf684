"""Permissions, keys and secrets of the functions, in the resources that SAM's translator makes from template.yaml."""

import json
from itertools import pairwise

import pytest

from tests.support.deployment import as_list, deployed, policy_statements, resources_of_type, translated

pytestmark = [pytest.mark.deployment, pytest.mark.template]

READ, SIGN = "secretsmanager:GetSecretValue", ("kms:Sign", "kms:GetPublicKey")

#: The permissions of each function besides writing its log. Adding one is a security decision.
CONNECT: dict[str, tuple[str, ...]] = {"Cluster.ResourceArn": ("dsql:DbConnect",)}
AUDIT: dict[str, tuple[str, ...]] = {"AuditKey": (READ,), "SecretsKey.Arn": ("kms:Decrypt",), **CONNECT}
PERMISSIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "Authorizer": {},
    "Register": {"Pepper": (READ,), **AUDIT},
    "Login": {"SigningKeyBlue.Arn": SIGN, "Pepper": (READ,), **AUDIT},
    "GetUser": AUDIT,
    "ChangePassword": {"Pepper": (READ,), **AUDIT},
    "StepUp": {"Pepper": (READ,), **AUDIT},
    "VerifyEmail": {"Pepper": (READ,), **AUDIT},
    "ResetPassword": {"Pepper": (READ,), **AUDIT},
    "SecureAccount": AUDIT,
    "Refresh": {"SigningKeyBlue.Arn": SIGN, **AUDIT},
    "Token": {"SigningKeyBlue.Arn": SIGN, **AUDIT},
    "Revoke": AUDIT,
    "Introspect": AUDIT,
    "Sessions": AUDIT,
    "Webauthn": {"SigningKeyBlue.Arn": SIGN, **AUDIT},
    "Audit": AUDIT,
    "Jwks": {},
    "WellKnown": {},
    "Preflight": {},
    "Health": CONNECT,
    "PublishKeys": {"SigningKeyBlue.Arn": ("kms:GetPublicKey",)},
    "Migrate": {"Cluster.ResourceArn": ("dsql:DbConnectAdmin",)},
    "Cleanup": AUDIT,
    "SendMail": AUDIT,
    "MailFeedback": AUDIT,
}
#: The functions that may wake the function ``SendMail``. They queue mail.
WAKING = ("Register", "Login", "ChangePassword", "VerifyEmail", "ResetPassword", "SecureAccount", "Webauthn")


#: The functions that sign tokens.
SIGNING = ("Login", "Refresh", "Token", "Webauthn")
#: The values of ``SigningKeys`` in the order of a rotation, and the steps between them in both directions (rollback).
ROTATION = ("blue", "blue+green", "green+blue", "green")
ROTATION_STEPS = [*pairwise(ROTATION), *pairwise(reversed(ROTATION))]
ROTATION_NAMES = [f"{before} to {after}" for before, after in ROTATION_STEPS]


def test_each_function_has_its_own_role():
    functions = resources_of_type("AWS::Lambda::Function")
    roles = {f"{name}Function": f"{name}Role.Arn" for name in PERMISSIONS}
    assert {name: function["Role"] for name, function in functions.items()} == roles


def test_roles_of_functions_and_operators_have_the_path_of_the_stack():
    """The policies of keys, secrets and cluster admit this path. Other roles of the stack need none of them."""
    paths = {name: role.get("Path") for name, role in resources_of_type("AWS::IAM::Role").items()}
    inside = {name for name, path in paths.items() if path == "/secure-backend/local/"}
    assert inside == {*(f"{name}Role" for name in PERMISSIONS), "BreakGlassRole"}
    assert set(paths.values()) == {"/secure-backend/local/", None}


@pytest.mark.asvs("13.2.2", "13.3.2")
@pytest.mark.threat("secrets-read")
def test_operators_role_reads_secrets_and_connects_but_signs_nothing():
    role = deployed()["BreakGlassRole"]["Properties"]
    allowed = {r: tuple(as_list(s["Action"])) for s in policy_statements(role) for r in as_list(s["Resource"])}
    assert allowed == {
        "Pepper": (READ,),
        "AuditKey": (READ,),
        "SecretsKey.Arn": ("kms:Decrypt",),
        "Cluster.ResourceArn": ("dsql:DbConnectAdmin",),
    }
    assert "ManagedPolicyArns" not in role
    # The default maximum is an hour.
    assert "MaxSessionDuration" not in role


@pytest.mark.threat("secrets-read")
def test_operators_role_can_be_limited_to_some_principals():
    account = {"AWS": "arn:aws:iam::123456789012:root"}
    operators = "arn:aws:iam::123456789012:role/aws-reserved/sso.amazonaws.com/*Operators*"
    for parameters, condition in (
        ({}, None),
        ({"BreakGlassPrincipals": operators}, {"ArnLike": {"aws:PrincipalArn": operators}}),
    ):
        role = deployed(**parameters)["BreakGlassRole"]["Properties"]
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert (trust["Principal"], trust["Action"], trust.get("Condition")) == (account, "sts:AssumeRole", condition)


@pytest.mark.asvs("13.2.2")
@pytest.mark.threat("deployment-weakened-template", "secrets-read")
def test_roles_have_no_wildcards_and_restricted_decryption():
    for role in resources_of_type("AWS::IAM::Role").values():
        for statement in policy_statements(role):
            assert statement["Effect"] == "Allow"
            assert [a for a in as_list(statement["Action"]) if "*" in a] == []
            assert [r for r in as_list(statement["Resource"]) if "*" in str(r)] == []
            if statement["Action"] == "kms:Decrypt":
                (condition,) = statement["Condition"]["StringEquals"].items()
                assert condition == ("kms:ViaService", "secretsmanager.us-east-1.amazonaws.com")


@pytest.mark.asvs("13.2.2", "13.3.2")
@pytest.mark.threat("authorizer-excess-permissions", "function-taken-over", "secrets-changed", "signing-key-misuse")
@pytest.mark.parametrize("name", PERMISSIONS)
def test_function_has_exactly_the_listed_permissions(name):
    """ASVS 13.2.2, 13.3.2: least privilege, also for secrets."""
    role = deployed()[f"{name}Role"]["Properties"]
    assert "ManagedPolicyArns" not in role
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "lambda.amazonaws.com"}
    log, *others = policy_statements(role)
    assert (log["Action"], log["Resource"]) == (["logs:CreateLogStream", "logs:PutLogEvents"], "FunctionLogs.Arn")
    allowed = {r: tuple(as_list(s["Action"])) for s in others for r in as_list(s["Resource"])}
    assert allowed == PERMISSIONS[name]


@pytest.mark.threat("function-taken-over")
def test_functions_that_queue_mail_may_invoke_only_the_live_sender():
    (policy,) = resources_of_type("AWS::IAM::Policy").values()
    (statement,) = policy["PolicyDocument"]["Statement"]
    sender = resources_of_type("AWS::Lambda::Alias").keys() & {"SendMailFunctionAliaslive"}
    assert (statement["Action"], {statement["Resource"]}) == ("lambda:InvokeFunction", sender)
    assert policy["Roles"] == [f"{name}Role" for name in WAKING]
    arns = {
        name: function["Environment"]["Variables"].get("SEND_MAIL_ARN")
        for name, function in resources_of_type("AWS::Lambda::Function").items()
    }
    assert {name: arn for name, arn in arns.items() if arn} == {f"{name}Function": min(sender) for name in WAKING}


@pytest.mark.asvs("13.2.2", "13.3.2")
@pytest.mark.threat("proxy-lock-leak")
@pytest.mark.parametrize("name", PERMISSIONS)
def test_only_the_custom_resource_may_read_the_proxy_locks(name):
    """The other functions get the hashes of the locks, so none of them needs a further permission."""
    role = deployed(ProxyLocks="green+blue")[f"{name}Role"]["Properties"]
    further = policy_statements(role)[len(policy_statements(deployed()[f"{name}Role"]["Properties"])) :]
    allowed = {r: tuple(as_list(s["Action"])) for s in further for r in as_list(s["Resource"])}
    locks = {"ProxyLockBlue": (READ,), "ProxyLockGreen": (READ,), "SecretsKey.Arn": ("kms:Decrypt",)}
    assert allowed == (locks if name == "PublishKeys" else {})


def test_only_gateway_logging_and_backups_have_managed_policies():
    """Both are for services of AWS. The roles of functions list their own permissions."""
    managed = {name for name, role in resources_of_type("AWS::IAM::Role").items() if "ManagedPolicyArns" in role}
    assert managed == {"GatewayLogsRole", "BackupRole"}
    assert deployed()["GatewayAccount"]["DeletionPolicy"] == deployed()["GatewayLogsRole"]["DeletionPolicy"] == "Retain"


@pytest.mark.asvs("13.3.2")
@pytest.mark.threat("authorizer-replaced-public-keys", "secrets-read")
@pytest.mark.parametrize("name", PERMISSIONS)
def test_function_knows_only_keys_and_secrets_that_it_may_use(name):
    function = deployed()[f"{name}Function"]["Properties"]
    variables = function["Environment"]["Variables"]
    known = {variables.get(f"{kind}_ARN") for kind in ("SIGNING_KEY", "PEPPER_SECRET", "AUDIT_KEY_SECRET")}
    usable = {"SigningKeyBlue.Arn", "Pepper", "AuditKey"} & PERMISSIONS[name].keys()
    assert known - {None} == (usable if name != "PublishKeys" else set())
    verifying = {"Authorizer", "Introspect", "Jwks", "Login", "VerifyEmail", "Webauthn"}
    assert (variables.get("JWKS") == "PublicKeys.Jwks") == (name in verifying)


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
def test_rotation_publishes_a_key_before_and_after_it_signs(signing_keys, published):
    resources = deployed(SigningKeys=signing_keys)
    assert resources["PublicKeys"]["Properties"]["KeyArns"] == published
    readable = policy_statements(resources["PublishKeysRole"]["Properties"])[1]["Resource"]
    assert sorted(readable) == sorted(published)
    keys = resources_of_type("AWS::KMS::Key", SigningKeys=signing_keys)
    signing = {name: key for name, key in keys.items() if key.get("KeyUsage") == "SIGN_VERIFY"}
    assert sorted(f"{name}.Arn" for name in signing) == sorted(published)
    assert {key["KeySpec"] for key in signing.values()} == {"ECC_NIST_P256"}
    for name in SIGNING:
        assert resources[f"{name}Function"]["Properties"]["Environment"]["Variables"]["SIGNING_KEY_ARN"] == published[0]


def _signs_with(name, signing_keys):
    """Return the key that a function signs with."""
    function = deployed(SigningKeys=signing_keys)[f"{name}Function"]["Properties"]
    return function["Environment"]["Variables"]["SIGNING_KEY_ARN"]


def _may_sign_with(name, signing_keys):
    """Return the keys that the role of a function may sign with."""
    role = deployed(SigningKeys=signing_keys)[f"{name}Role"]["Properties"]
    (sign,) = [statement for statement in policy_statements(role) if "kms:Sign" in statement["Action"]]
    return as_list(sign["Resource"])


@pytest.mark.threat("deployment-key-rotation", "signing-key-misuse")
@pytest.mark.parametrize(("before", "after"), ROTATION_STEPS, ids=ROTATION_NAMES)
@pytest.mark.parametrize("name", SIGNING)
def test_rotation_step_keeps_the_running_versions_key_usable(name, before, after):
    """CloudFormation changes a role minutes before the alias leaves the previous version of the function.

    A rollback also changes the role first, while the alias still points to the new version.
    """
    running, next_one = _signs_with(name, before), _signs_with(name, after)
    assert {running, next_one} <= set(_may_sign_with(name, after))
    assert {running, next_one} <= set(_may_sign_with(name, before))


@pytest.mark.threat("deployment-key-rotation")
@pytest.mark.parametrize(("before", "after"), ROTATION_STEPS, ids=ROTATION_NAMES)
def test_rotation_step_publishes_the_keys_of_both_versions(before, after):
    """Verifiers and signers are updated in any order, so each JWK Set needs the signing keys of both versions."""
    signing = {_signs_with("Login", before), _signs_with("Login", after)}
    for signing_keys in (before, after):
        assert signing <= set(deployed(SigningKeys=signing_keys)["PublicKeys"]["Properties"]["KeyArns"])


@pytest.mark.threat("signing-key-misuse")
@pytest.mark.parametrize("retired", ["blue", "green"])
def test_retired_key_is_not_usable_for_signing(retired):
    current = {"blue": "green", "green": "blue"}[retired]
    for name in SIGNING:
        assert _may_sign_with(name, current) == [f"SigningKey{current.capitalize()}.Arn"]


@pytest.mark.threat("gateway-flood")
def test_gateway_limits_every_route_and_hashing_routes_more():
    """ASVS 2.4.1, 15.2.2: these limits bound the cost. Accounts are protected by limits in the database (0012)."""
    (stage,) = resources_of_type("AWS::ApiGateway::Stage").values()
    methods = stage["MethodSettings"]
    limits = {f"{method['HttpMethod']} {method['ResourcePath']}": method["ThrottlingRateLimit"] for method in methods}
    hashing = {
        *("POST /~1login", "POST /~1users", "PUT /~1users~1{id}~1password", "POST /~1step-up"),
        *("POST /~1email~1verify", "POST /~1password~1reset~1complete"),
    }
    assert limits.keys() == {"* /*", *hashing}
    assert {limits[route] for route in hashing} == {"20"}
    assert limits["* /*"] == "100"


@pytest.mark.threat("gateway-logged-secrets", "gateway-unknown-caller")
def test_gateway_logs_requests_without_their_content():
    """ASVS 16.2.5, 14.2.1: the access log has no bodies, no headers and no ids in paths."""
    (stage,) = resources_of_type("AWS::ApiGateway::Stage").values()
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
def test_secrets_are_random_and_outlive_the_stack():
    """Without the pepper no password can be verified, and without the audit key no audit record."""
    for name in ("Pepper", "AuditKey"):
        secret = deployed()[name]
        # A first deployment that fails deletes the secret, because nothing depends on it yet.
        assert (secret["DeletionPolicy"], secret["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
        # 64 characters out of 62 are 381 bits.
        assert secret["Properties"]["GenerateSecretString"] == {"PasswordLength": 64, "ExcludePunctuation": True}
    assert deployed()["SecretsKey"]["DeletionPolicy"] == "RetainExceptOnCreate"


def test_two_stages_fit_into_one_account():
    """A fixed name would be the same in both stages. CloudFormation makes names, or they contain the stack's name."""
    names = {
        (resource["Type"].rpartition("::")[2], name)
        for resource in translated()["Resources"].values()
        for name, value in resource.get("Properties", {}).items()
        if name.endswith("Name") and isinstance(value, str)
    }
    # Aliases belong to a function and policies to a role, versions of a layer may come from both stages, and the others
    # name no resource.
    assert names == {
        ("Alias", "Name"),
        ("LayerVersion", "LayerName"),
        ("Policy", "PolicyName"),
        ("Topic", "DisplayName"),
        ("Alarm", "MetricName"),
    }
