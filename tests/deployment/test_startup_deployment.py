"""How a deployment runs the functions: which version the gateway calls, what waits for it, how many there may be."""

import pytest

from local_runtime.cloudformation import read_template
from tests.support.deployment import TEMPLATE, deployed, of_type

pytestmark = [pytest.mark.deployment, pytest.mark.template]

PUBLISHED = {
    *("Register", "Login", "GetUser", "ChangePassword", "StepUp", "Refresh"),
    *("Sessions", "Webauthn", "Audit", "Jwks", "Health", "Authorizer"),
}
HASHING = {"Register", "Login", "ChangePassword", "StepUp"}
#: It has no place in a version: it is Lambda's own word about all of them.
UNVERSIONED = "ReservedConcurrentExecutions"


def other_value(parameter):
    """Return a value that is not the default."""
    allowed = parameter.get("AllowedValues")
    if allowed:
        return next(str(value) for value in allowed if value != parameter["Default"])
    return str(parameter["Default"] + 1) if parameter["Type"] == "Number" else "https://other.example"


#: A new value of each parameter.
CHANGES = {
    name: {name: other_value(parameter)}
    for name, parameter in read_template(TEMPLATE)["Parameters"].items()
    if name != "Stage"
}


def version_of(function, **parameters):
    """Return what CloudFormation compares: another id or another property makes another version."""
    resources = deployed(**parameters)
    (version,) = [name for name in resources if name.startswith(f"{function}FunctionVersion")]
    # Its description is the digest of these.
    digested = resources["PublicKeys"]["Properties"]
    assert resources[version]["Properties"]["Description"] == "PublicKeys.Digest"
    return version, digested


def configuration_of(function, **parameters):
    """Return what Lambda would freeze in a version."""
    properties = deployed(**parameters)[f"{function}Function"]["Properties"]
    return {name: value for name, value in properties.items() if name != UNVERSIONED}


def test_gateway_calls_published_versions_by_an_alias_that_it_may_call():
    (api,) = of_type("AWS::ApiGateway::RestApi").values()
    methods = [method for path in api["Body"]["paths"].values() for method in path.values()]
    schemes = api["Body"]["components"]["securitySchemes"].values()
    uris = [
        *(method.get("x-amazon-apigateway-integration", {}).get("uri") for method in methods),
        *(scheme.get("x-amazon-apigateway-authorizer", {}).get("authorizerUri") for scheme in schemes),
    ]
    names = {f"{name}FunctionAliaslive" for name in PUBLISHED}
    assert {uri.split("functions/")[1] for uri in uris if uri} == {f"{name}/invocations" for name in names}
    assert {p["FunctionName"] for p in of_type("AWS::Lambda::Permission").values()} == names
    aliases = of_type("AWS::Lambda::Alias")
    assert aliases.keys() == names
    for name in PUBLISHED:
        assert aliases[f"{name}FunctionAliaslive"]["FunctionVersion"] == f"{version_of(name)[0]}.Version"


@pytest.mark.parametrize("changed", CHANGES.values(), ids=CHANGES)
def test_parameter_that_changes_a_function_publishes_it_again(changed):
    """SAM alone would overlook a changed parameter, and the gateway would go on with what was published before.

    Lambda makes no version of a function that has not changed, and CloudFormation then takes the deployment back.
    """
    for name in PUBLISHED:
        assert configuration_of(name)["Description"] == "PublicKeys.Digest"
        if configuration_of(name) != configuration_of(name, **changed):
            assert version_of(name) != version_of(name, **changed), name


@pytest.mark.threat("deployment-key-rotation")
@pytest.mark.parametrize("signing_keys", ["blue+green", "green+blue", "green"])
def test_each_step_of_a_rotation_publishes_every_function(signing_keys):
    for name in PUBLISHED:
        assert version_of(name) != version_of(name, SigningKeys=signing_keys)


@pytest.mark.parametrize(("architecture", "layer"), [("x86_64", "CommonLayerX86"), ("arm64", "CommonLayerArm")])
def test_functions_and_layer_are_of_one_architecture_and_another_layer_publishes_them(architecture, layer):
    """SAM puts a hash of the layer's content into its logical id."""
    ((name, properties),) = of_type("AWS::Lambda::LayerVersion", Architecture=architecture).items()
    assert name.startswith(layer)
    assert name != layer
    assert name in deployed(Architecture=architecture)["PublicKeys"]["Properties"]["Configuration"]
    assert properties["CompatibleArchitectures"] == [architecture]
    for function in of_type("AWS::Lambda::Function", Architecture=architecture).values():
        assert (function["Architectures"], function["Layers"]) == ([architecture], [name])


@pytest.mark.parametrize(
    ("startup", "snapshots", "waiting"),
    [("plain", "None", None), ("snapstart", "PublishedVersions", None), ("provisioned", "None", "3")],
)
def test_what_a_first_request_meets_is_one_parameter(startup, snapshots, waiting):
    parameters = {"Startup": startup, "ProvisionedEnvironments": "3"}
    functions = of_type("AWS::Lambda::Function", **parameters)
    for name in PUBLISHED:
        assert functions[f"{name}Function"]["SnapStart"] == {"ApplyOn": snapshots}
    for alias in of_type("AWS::Lambda::Alias", **parameters).values():
        provisioned = alias.get("ProvisionedConcurrencyConfig", {})
        assert provisioned.get("ProvisionedConcurrentExecutions") == waiting


def test_functions_that_hash_can_be_held_to_a_number():
    limited = of_type("AWS::Lambda::Function", HashingEnvironments="5")
    limits = {name: function[UNVERSIONED] for name, function in limited.items() if UNVERSIONED in function}
    assert limits == {f"{name}Function": "5" for name in HASHING}
    assert not [f for f in of_type("AWS::Lambda::Function").values() if UNVERSIONED in f]


@pytest.mark.threat("deployment-insecure-default")
def test_the_local_stage_cannot_be_deployed():
    """Its database would be each environment's own, and its key lie in a file."""
    (rule,) = [rule for name, rule in read_template(TEMPLATE)["Rules"].items() if name == "DeployedStage"]
    refused = [assertion["Assert"]["Fn::Not"][0]["Fn::Equals"] for assertion in rule["Assertions"]]
    assert refused == [[{"Ref": "Stage"}, "local"], [{"Ref": "WebauthnRpId"}, "localhost"]]
