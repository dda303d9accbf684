"""Each role allows the calls to AWS that its function's code makes, and no others, in every combination of parameters.

What a function calls follows from its code, and the resource from its settings. A new call to AWS needs an entry here.
"""

import re
from collections.abc import Iterator

import pytest
from sqlalchemy import make_url

from tests.support.combinations import combinations, conditions_in, stack
from tests.support.deployment import as_list, policy_statements, translated
from tests.support.reachable_code import callers_of, reachable_from
from tools.template.deployed_template import with_defaults

pytestmark = [pytest.mark.deployment, pytest.mark.template]

#: Of the template as it is written, because this runs at each collection, and SAM's translation takes seconds.
FUNCTIONS = sorted(
    name.removesuffix("Function")
    for name, resource in with_defaults({})["Resources"].items()
    if resource["Type"] == "AWS::Serverless::Function"
)
#: Definitions that reach calls to AWS elsewhere only: two on the local stage, instead of the published keys and of
#: invoking the sender. The third one counts rejected bodies, and is a part of functions whose requests have none.
NOT_FOLLOWED = {"operations.public_keys.public_key_set", "mail.waking._wake", "web.problems._record_bad_input"}
#: The definitions that use the text of a secret, and the setting or the property of ``PublicKeys`` that names it.
SECRETS = {
    "keys.shared_secrets.pepper": "PEPPER_SECRET_ARN",
    "keys.shared_secrets.audit_key": "AUDIT_KEY_SECRET_ARN",
    "database.engine._database_url": "DATABASE_URL_SECRET_ARN",
    "mail.smtp.SmtpServer": "SMTP_URL_SECRET_ARN",
    "operations.proxy_locks.lock_hashes": "ProxyLockArns",
}
#: The other definitions that call AWS, with the actions that their calls need.
CALLS = {
    "keys.signing_key.signing_key": ("SIGNING_KEY_ARN", ("kms:Sign", "kms:GetPublicKey")),
    "operations.public_keys.kms_public_key_set": ("KeyArns", ("kms:GetPublicKey",)),
    "mail.waking.wake_sender": ("SEND_MAIL_ARN", ("lambda:InvokeFunction",)),
    "mail.ses.AmazonSes": ("MAIL_TRANSPORT", ("ses:SendEmail", "ses:SendRawEmail")),
    "database.engine._dsql_token": ("DATABASE_URL", ("dsql:DbConnect",)),
}
#: Settings without which a deployed function that reaches their definition fails. ``Health`` writes no audit records.
REQUIRED = {"PEPPER_SECRET_ARN", "AUDIT_KEY_SECRET_ARN", "SIGNING_KEY_ARN", "KeyArns"}
NOT_REQUIRED = {"Health": {"AUDIT_KEY_SECRET_ARN"}}


def test_each_call_to_aws_is_known():
    """Another definition that calls AWS, or reads another secret, needs an entry in this module."""
    assert callers_of("aws_client") == {"aws_calls.call_aws"}
    assert callers_of("call_aws") == {
        *("keys.kms.KMSKey", "keys.kms._public_key"),
        "keys.shared_secrets.secret_text",
        "mail.waking._wake",
        "mail.ses.AmazonSes",
        "database.engine._dsql_token",
    }
    assert callers_of("KMSKey") == {"keys.signing_key._kms_key", "operations.public_keys.kms_public_key_set"}
    assert callers_of("_shared_secret") == {"keys.shared_secrets.pepper", "keys.shared_secrets.audit_key"}
    of_text = {"keys.shared_secrets._shared_secret", *SECRETS} - {name for name in SECRETS if "shared_secrets" in name}
    assert callers_of("secret_text") == of_text


def settings_of(name, chosen):
    """Return the variables of a function, with the properties of the custom resource if it makes one."""
    return {key: value for key, value in stack(chosen).resolve(settings_in_template(name)).items() if value}


def settings_in_template(name):
    """Return the variables of ``settings_of`` as in the template, where they depend on conditions."""
    variables = translated()["Resources"][f"{name}Function"]["Properties"]["Environment"]["Variables"]
    wanted = {*SECRETS.values(), *(setting for setting, _ in CALLS.values())}
    own = translated()["Resources"]["PublicKeys"]["Properties"] if name == "PublishKeys" else {}
    return {key: value for key, value in {**variables, **own}.items() if key in wanted}


def granted(name, chosen):
    """Return the actions and resources that the role of a function allows."""
    intrinsics = stack(chosen)
    role = intrinsics.resolve(intrinsics.resources[f"{name}Role"]["Properties"])
    attached = [
        {"Policies": [policy]}
        for policy in (
            intrinsics.resolve(resource["Properties"])
            for resource in intrinsics.resources.values()
            if resource["Type"] == "AWS::IAM::Policy"
        )
        if f"{name}Role" in policy["Roles"]
    ]
    return {
        (action, resource)
        for each in (role, *attached)
        for statement in policy_statements(each)
        if statement["Effect"] == "Allow"
        for action in as_list(statement["Action"])
        for resource in as_list(statement["Resource"])
    }


def needed(name, chosen):
    """Return the actions and resources that the code of a function needs with its settings."""
    folder = re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()
    code = reachable_from(folder, except_through=NOT_FOLLOWED)
    settings = settings_of(name, chosen)
    used = {**SECRETS, **{definition: setting for definition, (setting, _) in CALLS.items()}}
    required = REQUIRED & {setting for definition, setting in used.items() if definition in code}
    assert required - NOT_REQUIRED.get(name, set()) <= settings.keys()
    yield from ((action, "FunctionLogs.Arn") for action in ("logs:CreateLogStream", "logs:PutLogEvents"))
    for definition, setting in SECRETS.items():
        for arn in as_list(settings.get(setting, [])) if definition in code else []:
            yield from reading(arn, chosen)
    for definition, (setting, actions) in CALLS.items():
        if definition in code and setting in settings:
            yield from CALLING.get(setting, calling)(settings[setting], actions, chosen)


def reading(arn, chosen) -> Iterator[tuple[str, str]]:
    yield "secretsmanager:GetSecretValue", arn
    secret = stack(chosen).resources.get(arn)
    if secret:
        yield "kms:Decrypt", f"{secret['Properties']['KmsKeyId']['Ref']}.Arn"


def calling(arns, actions, chosen) -> Iterator[tuple[str, str]]:
    yield from ((action, arn) for action in actions for arn in as_list(arns))


def signing(_, actions, chosen) -> Iterator[tuple[str, str]]:
    """Every key that exists, because a deployment changes the roles before and after the functions."""
    keys = {n: r["Properties"] for n, r in stack(chosen).resources.items() if r["Type"] == "AWS::KMS::Key"}
    for name, key in keys.items():
        if key.get("KeyUsage") == "SIGN_VERIFY":
            yield from calling(f"{name}.Arn", actions, chosen)


def connecting(url, actions, chosen) -> Iterator[tuple[str, str]]:
    user, host = make_url(url).username, str(make_url(url).host)
    cluster = host.partition(".")[0]
    arn = f"{cluster}.ResourceArn" if cluster in stack(chosen).resources else cluster_arn(cluster)
    yield from ((action + "Admin" * (user == "admin"), arn) for action in actions)


def cluster_arn(identifier):
    return f"arn:aws:dsql:us-east-1:123456789012:cluster/{identifier}"


def sending(transport, actions, chosen) -> Iterator[tuple[str, str]]:
    """From the domain of ``MailFrom``, with the configuration set of the stack."""
    if transport == "ses":
        domain = stack(chosen).resolve({"Ref": "MailFrom"}).partition("@")[2]
        for kind in (f"identity/{domain}", "configuration-set/local"):
            yield from calling(f"arn:aws:ses:us-east-1:123456789012:{kind}", actions, chosen)


CALLING = {"SIGNING_KEY_ARN": signing, "DATABASE_URL": connecting, "MAIL_TRANSPORT": sending}


@pytest.mark.asvs("13.2.2", "13.3.2")
@pytest.mark.threat("function-taken-over", "secrets-read")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_role_allows_exactly_the_calls_of_its_code_in_every_combination(name):
    resources = translated()["Resources"]
    policies = [each for each in resources.values() if each["Type"] == "AWS::IAM::Policy"]
    parts = [resources[f"{name}Role"], settings_in_template(name), *policies]
    checked = 0
    for combination in combinations({*conditions_in(parts)}):
        chosen = frozenset(combination.items())
        have, need = granted(name, chosen), set(needed(name, chosen))
        assert (need - have, have - need) == (set(), set()), combination
        checked += 1
    assert checked
