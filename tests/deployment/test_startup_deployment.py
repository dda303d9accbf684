"""Versions, provisioned environments and concurrency of the functions in the deployed template."""

import json
import re

import pytest

from tests.support.deployment import deployed, resources_of_type, translated
from tools.template.deployed_template import translate, with_defaults

pytestmark = [pytest.mark.deployment, pytest.mark.template]

PUBLISHED = {
    *("Register", "Login", "GetUser", "ChangePassword", "StepUp", "Refresh", "Token"),
    *("VerifyEmail", "ResetPassword", "SecureAccount", "Revoke", "Introspect"),
    *("Sessions", "Webauthn", "Audit", "Jwks", "WellKnown", "Preflight", "Health", "Authorizer"),
}
#: Requests invoke it, and no client waits for it.
ASYNCHRONOUS = {"SendMail"}
HASHING = {"Register", "Login", "ChangePassword", "StepUp", "VerifyEmail", "ResetPassword"}
#: A property of the function, not of its versions.
UNVERSIONED = "ReservedConcurrentExecutions"

DEPLOYMENT = "AWS::ApiGateway::Deployment"


def other_value(parameter):
    """Return a value that is not the default."""
    allowed = parameter.get("AllowedValues")
    if allowed:
        return next(str(value) for value in allowed if value != parameter["Default"])
    return str(parameter["Default"] + 1) if parameter["Type"] == "Number" else "https://other.example"


#: A new value of each parameter.
CHANGES = {
    name: {name: other_value(parameter)}
    for name, parameter in with_defaults({})["Parameters"].items()
    if name != "Stage"
}


def translation(template):
    """Return the resources of a template except the API's deployment, whose logical id is a hash."""
    resources = {name: each for name, each in template["Resources"].items() if each["Type"] != DEPLOYMENT}
    return re.sub(r"ApiDeployment\w+", "ApiDeployment", json.dumps(resources, sort_keys=True))


def test_translation_is_the_same_for_all_parameters():
    """CloudFormation resolves the parameters after SAM. ``tests.support.deployment`` relies on this order."""
    changed = {name: value for change in CHANGES.values() for name, value in change.items()}
    assert translation(translate(with_defaults({"Stage": "dev", **changed}))) == translation(translated())


def version_of(function, **parameters):
    """Return the version's logical id and the properties of its digest. A change of either creates a new version."""
    resources = deployed(**parameters)
    (version,) = [name for name in resources if name.startswith(f"{function}FunctionVersion")]
    # The description of the version is the digest of these properties.
    digested = resources["PublicKeys"]["Properties"]
    assert resources[version]["Properties"]["Description"] == "PublicKeys.Digest"
    return version, digested


def configuration_of(function, **parameters):
    """Return the properties of a function that its versions contain."""
    properties = deployed(**parameters)[f"{function}Function"]["Properties"]
    return {name: value for name, value in properties.items() if name != UNVERSIONED}


def test_gateway_calls_published_versions_by_an_alias():
    (api,) = resources_of_type("AWS::ApiGateway::RestApi").values()
    methods = [method for path in api["Body"]["paths"].values() for method in path.values()]
    schemes = api["Body"]["components"]["securitySchemes"].values()
    uris = [
        *(method.get("x-amazon-apigateway-integration", {}).get("uri") for method in methods),
        *(scheme.get("x-amazon-apigateway-authorizer", {}).get("authorizerUri") for scheme in schemes),
    ]
    names = {f"{name}FunctionAliaslive" for name in PUBLISHED}
    assert {uri.split("functions/")[1] for uri in uris if uri} == {f"{name}/invocations" for name in names}
    called = {p["FunctionName"] for p in resources_of_type("AWS::Lambda::Permission").values()}
    # EventBridge calls the function that records bounces, which has no versions.
    assert called == names | {"MailFeedbackFunction"}
    aliases = resources_of_type("AWS::Lambda::Alias")
    assert aliases.keys() == names | {f"{name}FunctionAliaslive" for name in ASYNCHRONOUS}
    for name in PUBLISHED | ASYNCHRONOUS:
        assert aliases[f"{name}FunctionAliaslive"]["FunctionVersion"] == f"{version_of(name)[0]}.Version"


@pytest.mark.parametrize("changed", CHANGES.values(), ids=CHANGES)
def test_parameter_that_changes_a_function_creates_a_new_version(changed):
    """SAM ignores a changed parameter, so the gateway would still call the old version.

    A new version without a change of the function is an error in Lambda, and CloudFormation rolls the deployment back.
    """
    for name in PUBLISHED | ASYNCHRONOUS:
        assert configuration_of(name)["Description"] == "PublicKeys.Digest"
        if configuration_of(name) != configuration_of(name, **changed):
            assert version_of(name) != version_of(name, **changed), name


@pytest.mark.threat("deployment-key-rotation")
@pytest.mark.parametrize("signing_keys", ["blue+green", "green+blue", "green"])
def test_each_step_of_a_key_rotation_creates_new_versions(signing_keys):
    for name in PUBLISHED:
        assert version_of(name) != version_of(name, SigningKeys=signing_keys)


@pytest.mark.parametrize(("architecture", "layer"), [("x86_64", "CommonLayerX86"), ("arm64", "CommonLayerArm")])
def test_functions_and_layer_have_the_same_architecture(architecture, layer):
    """The logical id of the layer contains a hash of its content, so a changed layer creates new versions."""
    ((name, properties),) = resources_of_type("AWS::Lambda::LayerVersion", Architecture=architecture).items()
    assert name.startswith(layer)
    assert name != layer
    assert name in deployed(Architecture=architecture)["PublicKeys"]["Properties"]["Configuration"]
    assert properties["CompatibleArchitectures"] == [architecture]
    for function in resources_of_type("AWS::Lambda::Function", Architecture=architecture).values():
        assert (function["Architectures"], function["Layers"]) == ([architecture], [name])


@pytest.mark.parametrize(
    ("startup", "snapshots", "provisioned"),
    [("plain", "None", None), ("snapstart", "PublishedVersions", None), ("provisioned", "None", "3")],
)
def test_startup_parameter_sets_snapshots_or_provisioning(startup, snapshots, provisioned):
    parameters = {"Startup": startup, "ProvisionedEnvironments": "3"}
    functions = resources_of_type("AWS::Lambda::Function", **parameters)
    for name in PUBLISHED:
        assert functions[f"{name}Function"]["SnapStart"] == {"ApplyOn": snapshots}
    for name, alias in resources_of_type("AWS::Lambda::Alias", **parameters).items():
        configuration = alias.get("ProvisionedConcurrencyConfig", {})
        expected = None if name == "SendMailFunctionAliaslive" else provisioned
        assert configuration.get("ProvisionedConcurrentExecutions") == expected


def test_hashing_environments_limits_only_functions_that_hash():
    limited = resources_of_type("AWS::Lambda::Function", HashingEnvironments="5")
    limits = {name: function[UNVERSIONED] for name, function in limited.items() if UNVERSIONED in function}
    assert limits == {f"{name}Function": "5" for name in HASHING}
    assert not [f for f in resources_of_type("AWS::Lambda::Function").values() if UNVERSIONED in f]
