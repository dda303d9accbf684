import copy
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from local_runtime.cloudformation import TemplateError
from local_runtime.environment import function_environment
from local_runtime.template import load_template
from tests.support.runtime import PROJECT

pytestmark = pytest.mark.local_runtime

BEARER = {
    "FunctionArn": {"Fn::GetAtt": ["Guard", "Arn"]},
    "FunctionPayloadType": "REQUEST",
    "Identity": {"Headers": ["Authorization"], "QueryStrings": ["key"], "ReauthorizeEvery": 7},
}
API = {
    "StageName": {"Ref": "Stage"},
    "BinaryMediaTypes": ["image~1gif"],
    "Auth": {"DefaultAuthorizer": "Bearer", "Authorizers": {"Bearer": BEARER}},
}
GET = {"RestApiId": {"Ref": "Api"}, "Method": "get", "Path": "/hello"}
HELLO = {
    "CodeUri": "functions/hello",
    "Timeout": 2,
    "MemorySize": 512,
    "Environment": {"Variables": {"LEVEL": "DEBUG"}},
    "Events": {
        "Get": {"Type": "Api", "Properties": GET},
        "Post": {"Type": "Api", "Properties": GET | {"Method": "post", "Auth": {"Authorizer": "NONE"}}},
        "Nightly": {"Type": "Schedule", "Properties": {"Schedule": "rate(1 day)"}},
    },
}
VARIABLES = {"STAGE": {"Ref": "Stage"}, "LEVEL": "INFO", "FLAG": True}
MINIMAL = {
    "Globals": {
        "Function": {"Handler": "app.handler", "Timeout": 5, "Environment": {"Variables": VARIABLES}},
        "Api": {"BinaryMediaTypes": ["image~1png"]},
    },
    "Parameters": {"Stage": {"Type": "String", "Default": "local"}},
    "Resources": {
        "Api": {"Type": "AWS::Serverless::Api", "Properties": API},
        "Guard": {"Type": "AWS::Serverless::Function", "Properties": {"CodeUri": "functions/guard"}},
        "Hello": {"Type": "AWS::Serverless::Function", "Properties": HELLO},
    },
}


@pytest.fixture
def document():
    return copy.deepcopy(MINIMAL)


@pytest.fixture
def load(tmp_path):
    """Write a template and the folders in it, and load the template."""

    def load(document):
        for name in ("guard", "hello"):
            (tmp_path / "functions" / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "template.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
        return load_template(tmp_path / "template.yaml")

    return load


def hello(document):
    return document["Resources"]["Hello"]["Properties"]


def test_template_has_its_routes_functions_and_authorizer(load, document, tmp_path):
    template = load(document)
    assert (template.stage, template.binary_media_types) == ("local", {"image/png", "image/gif"})
    get, post = template.routes
    for route, method in ((get, "GET"), (post, "POST")):
        assert (route.method, route.path, route.function.name) == (method, "/hello", "Hello")
    function, authorizer = get.function, get.authorizer
    assert (function.folder, function.handler) == (tmp_path / "functions/hello", "app.handler")
    # A function's own properties replace those of the globals.
    assert (function.timeout, function.memory) == (2.0, 512)
    assert function.environment == {"STAGE": "local", "LEVEL": "DEBUG", "FLAG": "true"}
    assert (authorizer.name, authorizer.function.name) == ("Bearer", "Guard")
    assert (authorizer.headers, authorizer.query_strings) == (("Authorization",), ("key",))
    assert authorizer.reauthorize_every == 7
    assert post.authorizer is None


def test_missing_timeout_memory_and_reauthorize_every_have_awss_defaults(load, document):
    del document["Globals"]["Function"]["Timeout"]
    document["Resources"]["Api"]["Properties"]["Auth"]["Authorizers"]["Bearer"]["Identity"] = {"Headers": ["A"]}
    authorizer = load(document).routes[0].authorizer
    assert (authorizer.function.timeout, authorizer.function.memory) == (3.0, 128)
    assert authorizer.reauthorize_every == 300


def test_intrinsic_function_replaces_the_map_of_the_globals(load, document):
    hello(document)["Environment"] = {"Fn::If": ["Never", {}, {"Variables": {"ONLY": "this"}}]}
    document["Conditions"] = {"Never": {"Fn::Equals": ["a", "b"]}}
    assert load(document).routes[0].function.environment == {"ONLY": "this"}


def test_route_has_the_default_authorizer_unless_it_names_another(load, document):
    no_value = {"Authorizer": {"Ref": "AWS::NoValue"}}
    for auth in ({}, {"Authorizer": None}, {"Authorizer": ""}, no_value, {"Authorizer": "Bearer"}):
        hello(document)["Events"]["Post"]["Properties"]["Auth"] = auth
        assert load(document).routes[1].authorizer.name == "Bearer"


def test_api_without_auth_has_open_routes(load, document):
    del document["Resources"]["Api"]["Properties"]["Auth"]
    assert [route.authorizer for route in load(document).routes] == [None, None]


def test_functions_have_a_route_or_a_schedule_or_are_authorizers(load, document):
    document["Resources"]["Unused"] = document["Resources"]["Guard"]
    document["Resources"]["Nightly"] = copy.deepcopy(document["Resources"]["Hello"])
    document["Resources"]["Nightly"]["Properties"]["Events"] = {
        "Night": {"Type": "ScheduleV2", "Properties": {"ScheduleExpression": "rate(1 day)"}},
        "Often": {"Type": "Schedule", "Properties": {"Schedule": "rate(5 minutes)"}},
    }
    functions = {function.name: function.interval for function in load(document).functions}
    assert functions == {"Guard": None, "Hello": 86_400, "Nightly": 300}


# An ignored property could be the protection of a route, so an unknown property is an error.
DELETED = object()
ARN = "arn:aws:lambda:us-east-1:999999999999:function"
COGNITO = {"UserPoolArn": "arn:aws:cognito-idp:us-east-1:123456789012:userpool/x"}
COMPUTED = {"UNAUTHORIZED": {"ResponseParameters": {"Headers": {"X": "method.request.header.Origin"}}}}


def change(document, place, value):
    """Replace or delete the value at a path in the resources, for example "Api/Properties/Auth"."""
    *folders, last = place.split("/")
    node = document["Resources"]
    for name in folders:
        node = node[name]
    node[last] = value
    if value is DELETED:
        del node[last]


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        ("Guard", DELETED, "Guard is neither a parameter nor a resource"),
        ("Hello/Properties/Events/Nightly/Properties", DELETED, "Hello.Nightly has no Properties"),
        ("Hello/Properties/Events/Nightly/Properties/Schedule", "cron(0 3 * * ? *)", "Hello.Nightly: .* rate"),
        ("Other", {"Type": "AWS::Serverless::Api", "Properties": API}, "the template has 2"),
        ("Api/Properties/GatewayResponses", COMPUTED, "gateway response UNAUTHORIZED: header X"),
        *[
            (f"Api/Properties/Auth/{place}", value, reason)
            for place, value, reason in (
                ("DefaultAuthorizer", "AWS_IAM", "Hello.Get: there is no authorizer AWS_IAM"),
                ("ResourcePolicy", {"IpRangeWhitelist": ["10.0.0.0/8"]}, "Api.Auth: .* does not know ResourcePolicy"),
                ("Authorizers/Bearer", COGNITO, "FunctionPayloadType REQUEST"),
                ("Authorizers/Bearer/FunctionPayloadType", "TOKEN", "FunctionPayloadType REQUEST"),
                ("Authorizers/Bearer/FunctionArn", DELETED, "Bearer has no FunctionArn"),
                ("Authorizers/Bearer/FunctionArn", {"Ref": "Guard"}, "authorizer Bearer: Guard is not a function"),
                ("Authorizers/Bearer/FunctionArn", f"{ARN}:Other", "authorizer Bearer: .*Other is not a function of"),
                ("Authorizers/Bearer/Identity/Context", ["identity.sourceIp"], "Bearer.Identity: .* does not know Co"),
            )
        ],
        *[
            (f"Hello/Properties/{place}", value, reason)
            for place, value, reason in (
                ("CodeUri", DELETED, "Hello has no CodeUri"),
                ("CodeUri", "functions/helo", "Hello: CodeUri functions/helo is not a folder"),
                ("CodeUri", {"Bucket": "b", "Key": "k"}, "Hello: CodeUri .* is not a folder"),
                ("Events/Get/Type", "HttpApi", "Hello.Get: .* REST"),
                ("Events/Get/Properties", DELETED, "Hello.Get has no Properties"),
                ("Events/Get/Properties/Path", DELETED, "Hello.Get has no Path"),
                ("Events/Get/Properties/RestApiId", DELETED, "Hello.Get: RestApiId must be !Ref Api"),
                ("Events/Get/Properties/Auth", {"Authorizer": "Baerer"}, "Hello.Get: there is no authorizer Baerer"),
                ("Events/Get/Properties/Auth", {"ApiKeyRequired": True}, "Hello.Get.Auth: .* does not know ApiKey"),
            )
        ],
    ],
)
def test_template_with_an_error_or_unknown_property_is_rejected(load, document, place, value, reason):
    change(document, place, value)
    with pytest.raises(TemplateError, match=reason):
        load(document)


def places(node, path=()):
    """Yield the path of each node in a document."""
    yield path
    for key, inner in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from places(inner, (*path, key))


KEYS = st.sampled_from(["Ref", "Fn::Sub", "Fn::If", "a"])
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(categories=["L", "P"]), max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner),
    max_leaves=4,
)


@given(place=st.sampled_from(list(places(MINIMAL))), value=ODD)
def test_template_of_any_shape_is_read_or_rejected(tmp_path, place, value):
    for folder in ("guard", "hello"):
        (tmp_path / "functions" / folder).mkdir(parents=True, exist_ok=True)
    document: Any = {"": copy.deepcopy(MINIMAL)}
    path: list[Any] = ["", *place]
    node = document
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    file = tmp_path / "template.yaml"
    file.write_text(yaml.safe_dump(document[""]))
    with suppress(TemplateError):
        template = load_template(file)
        assert all(route.function in template.functions for route in template.routes)


def test_template_that_contains_itself_is_rejected(tmp_path):
    file = tmp_path / "template.yaml"
    file.write_text("Resources: &all\n  Api: {Type: AWS::Serverless::Api, Properties: *all}\n")
    with pytest.raises(TemplateError):
        load_template(file)


def test_shell_overrides_a_variable_of_this_projects_template():
    routes = load_template(PROJECT / "template.yaml").routes
    (register,) = (route.function for route in routes if (route.method, route.path) == ("POST", "/users"))
    for shell, expected in (({}, "false"), ({"NEUTRAL_REGISTRATION": "true"}, "true")):
        assert function_environment(register, shell=shell, data_dir=Path("/"))["NEUTRAL_REGISTRATION"] == expected
