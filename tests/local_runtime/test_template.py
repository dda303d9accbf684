import copy
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from local_runtime.cloudformation import TemplateError
from local_runtime.template import load_template
from tests.support.runtime import PROJECT

pytestmark = pytest.mark.local_runtime

MINIMAL = {
    "Globals": {
        "Function": {
            "Handler": "app.handler",
            "Timeout": 5,
            "Environment": {"Variables": {"STAGE": {"Ref": "Stage"}, "LEVEL": "INFO", "FLAG": True}},
        },
        "Api": {"BinaryMediaTypes": ["image~1png"]},
    },
    "Parameters": {"Stage": {"Type": "String", "Default": "local"}},
    "Resources": {
        "Api": {
            "Type": "AWS::Serverless::Api",
            "Properties": {
                "StageName": {"Ref": "Stage"},
                "BinaryMediaTypes": ["image~1gif"],
                "Auth": {
                    "DefaultAuthorizer": "Bearer",
                    "Authorizers": {
                        "Bearer": {
                            "FunctionArn": {"Fn::GetAtt": ["Guard", "Arn"]},
                            "FunctionPayloadType": "REQUEST",
                            "Identity": {"Headers": ["Authorization"], "QueryStrings": ["key"], "ReauthorizeEvery": 7},
                        }
                    },
                },
            },
        },
        "Guard": {"Type": "AWS::Serverless::Function", "Properties": {"CodeUri": "functions/guard"}},
        "Hello": {
            "Type": "AWS::Serverless::Function",
            "Properties": {
                "CodeUri": "functions/hello",
                "Timeout": 2,
                "MemorySize": 512,
                "Environment": {"Variables": {"LEVEL": "DEBUG"}},
                "Events": {
                    "Get": {
                        "Type": "Api",
                        "Properties": {"RestApiId": {"Ref": "Api"}, "Method": "get", "Path": "/hello"},
                    },
                    "Post": {
                        "Type": "Api",
                        "Properties": {
                            "RestApiId": {"Ref": "Api"},
                            "Method": "post",
                            "Path": "/hello",
                            "Auth": {"Authorizer": "NONE"},
                        },
                    },
                    "Nightly": {"Type": "Schedule", "Properties": {"Schedule": "rate(1 day)"}},
                },
            },
        },
    },
}


@pytest.fixture
def document():
    return copy.deepcopy(MINIMAL)


@pytest.fixture
def load(tmp_path):
    """Write a document, with the folders that it names, and load it."""

    def load(document):
        for name in ("guard", "hello"):
            (tmp_path / "functions" / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "template.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
        return load_template(tmp_path / "template.yaml")

    return load


def hello(document):
    return document["Resources"]["Hello"]["Properties"]


def bearer(document):
    return document["Resources"]["Api"]["Properties"]["Auth"]["Authorizers"]["Bearer"]


def test_a_function_is_its_own_properties_over_the_globals(load, document, tmp_path):
    get, _ = load(document).routes
    assert get.function.folder == tmp_path / "functions/hello"
    assert get.function.handler == "app.handler"
    assert get.function.timeout == 2.0
    assert get.function.memory == 512
    assert get.function.environment == {"STAGE": "local", "LEVEL": "DEBUG", "FLAG": "true"}


def test_a_function_without_timeout_and_memory_has_those_of_lambda(load, document):
    del document["Globals"]["Function"]["Timeout"]
    guard = load(document).routes[0].authorizer.function
    assert (guard.timeout, guard.memory) == (3.0, 128)


def test_an_intrinsic_function_replaces_the_map_of_the_globals(load, document):
    hello(document)["Environment"] = {"Fn::If": ["Never", {}, {"Variables": {"ONLY": "this"}}]}
    document["Conditions"] = {"Never": {"Fn::Equals": ["a", "b"]}}
    assert load(document).routes[0].function.environment == {"ONLY": "this"}


def test_routes_are_the_functions_api_events(load, document):
    get, post = load(document).routes
    assert [(route.method, route.path, route.function.name) for route in (get, post)] == [
        ("GET", "/hello", "Hello"),
        ("POST", "/hello", "Hello"),
    ]


def test_a_route_has_the_default_authorizer_unless_it_says_none(load, document):
    get, post = load(document).routes
    assert get.authorizer.name == "Bearer"
    assert get.authorizer.function.name == "Guard"
    assert (get.authorizer.headers, get.authorizer.query_strings) == (("Authorization",), ("key",))
    assert get.authorizer.reauthorize_every == 7
    assert post.authorizer is None


def test_a_route_that_names_no_authorizer_has_the_default(load, document):
    for auth in ({}, {"Authorizer": None}, {"Authorizer": ""}, {"Authorizer": {"Ref": "AWS::NoValue"}}):
        hello(document)["Events"]["Post"]["Properties"]["Auth"] = auth
        assert load(document).routes[1].authorizer.name == "Bearer"


def test_a_route_can_name_its_authorizer(load, document):
    hello(document)["Events"]["Post"]["Properties"]["Auth"] = {"Authorizer": "Bearer"}
    assert load(document).routes[1].authorizer.name == "Bearer"


def test_an_authorizers_answer_is_kept_for_five_minutes_by_default(load, document):
    bearer(document)["Identity"] = {"Headers": ["Authorization"]}
    assert load(document).routes[0].authorizer.reauthorize_every == 300


def test_an_api_without_auth_has_open_routes(load, document):
    del document["Resources"]["Api"]["Properties"]["Auth"]
    assert [route.authorizer for route in load(document).routes] == [None, None]


def test_only_functions_that_a_request_or_a_schedule_can_reach_are_started(load, document):
    document["Resources"]["Unused"] = document["Resources"]["Guard"]
    document["Resources"]["Nightly"] = copy.deepcopy(document["Resources"]["Hello"])
    document["Resources"]["Nightly"]["Properties"]["Events"] = {"Nightly": {"Type": "ScheduleV2"}}
    functions = {function.name: function.is_scheduled for function in load(document).functions}
    assert functions == {"Guard": False, "Hello": True, "Nightly": True}


def test_binary_media_types_add_up_with_the_globals(load, document):
    assert load(document).binary_media_types == {"image/png", "image/gif"}


def test_the_stage_is_the_apis(load, document):
    assert load(document).stage == "local"


# Whatever is left out silently could be a route's protection: so it is an error.


def drop_guard(document):
    del document["Resources"]["Guard"]


def point_authorizer_elsewhere(document):
    bearer(document)["FunctionArn"] = "arn:aws:lambda:us-east-1:999999999999:function:Other"


def point_authorizer_at_no_function(document):
    bearer(document)["FunctionArn"] = {"Ref": "Guard"}


def use_cognito(document):
    auth = document["Resources"]["Api"]["Properties"]["Auth"]
    auth["Authorizers"]["Bearer"] = {"UserPoolArn": "arn:aws:cognito-idp:us-east-1:123456789012:userpool/x"}


def use_token_authorizer(document):
    bearer(document)["FunctionPayloadType"] = "TOKEN"


def forget_function_arn(document):
    del bearer(document)["FunctionArn"]


def use_context_as_identity(document):
    bearer(document)["Identity"]["Context"] = ["identity.sourceIp"]


def name_unknown_authorizer(document):
    hello(document)["Events"]["Get"]["Properties"]["Auth"] = {"Authorizer": "Baerer"}


def name_unknown_default(document):
    document["Resources"]["Api"]["Properties"]["Auth"]["DefaultAuthorizer"] = "AWS_IAM"


def require_api_key(document):
    hello(document)["Events"]["Get"]["Properties"]["Auth"] = {"ApiKeyRequired": True}


def restrict_by_resource_policy(document):
    document["Resources"]["Api"]["Properties"]["Auth"]["ResourcePolicy"] = {"IpRangeWhitelist": ["10.0.0.0/8"]}


def use_http_api(document):
    hello(document)["Events"]["Get"]["Type"] = "HttpApi"


def use_implicit_api(document):
    del hello(document)["Events"]["Get"]["Properties"]["RestApiId"]


def forget_event_properties(document):
    del hello(document)["Events"]["Get"]["Properties"]


def forget_path(document):
    del hello(document)["Events"]["Get"]["Properties"]["Path"]


def add_second_api(document):
    document["Resources"]["Other"] = document["Resources"]["Api"]


def forget_code(document):
    del hello(document)["CodeUri"]


def misspell_code(document):
    hello(document)["CodeUri"] = "functions/helo"


def put_code_in_s3(document):
    hello(document)["CodeUri"] = {"Bucket": "b", "Key": "k"}


def compute_gateway_header(document):
    document["Resources"]["Api"]["Properties"]["GatewayResponses"] = {
        "UNAUTHORIZED": {"ResponseParameters": {"Headers": {"X": "method.request.header.Origin"}}}
    }


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (drop_guard, "Guard is neither a parameter nor a resource"),
        (point_authorizer_elsewhere, "authorizer Bearer: .*Other is not a function of this template"),
        (point_authorizer_at_no_function, "authorizer Bearer: Guard is not a function"),
        (use_cognito, "FunctionPayloadType REQUEST"),
        (use_token_authorizer, "FunctionPayloadType REQUEST"),
        (forget_function_arn, "Bearer has no FunctionArn"),
        (use_context_as_identity, "Bearer.Identity: .* does not know Context"),
        (name_unknown_authorizer, "Hello.Get: there is no authorizer Baerer"),
        (name_unknown_default, "Hello.Get: there is no authorizer AWS_IAM"),
        (require_api_key, "Hello.Get.Auth: .* does not know ApiKeyRequired"),
        (restrict_by_resource_policy, "Api.Auth: .* does not know ResourcePolicy"),
        (use_http_api, "Hello.Get: .* REST"),
        (use_implicit_api, "Hello.Get: RestApiId must be !Ref Api"),
        (forget_event_properties, "Hello.Get has no Properties"),
        (forget_path, "Hello.Get has no Path"),
        (add_second_api, "the template has 2"),
        (forget_code, "Hello has no CodeUri"),
        (misspell_code, "Hello: CodeUri functions/helo is not a folder"),
        (put_code_in_s3, "Hello: CodeUri .* is not a folder"),
        (compute_gateway_header, "gateway response UNAUTHORIZED: header X"),
    ],
)
def test_what_would_be_left_out_stops_the_start(load, document, change, complaint):
    change(document)
    with pytest.raises(TemplateError, match=complaint):
        load(document)


def test_this_projects_template_protects_every_route_that_does_not_say_none():
    template = load_template(PROJECT / "template.yaml")
    open_routes = {f"{route.method} {route.path}" for route in template.routes if route.authorizer is None}
    assert {"POST /users", "POST /login", "GET /health", "GET /.well-known/jwks.json"} <= open_routes
    assert "GET /users/{id}" not in open_routes


def places(node, path=()):
    """Yield the way to each node of a document."""
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
def test_a_template_of_any_shape_is_read_or_refused(tmp_path, place, value):
    for folder in ("guard", "hello"):
        (tmp_path / "functions" / folder).mkdir(parents=True, exist_ok=True)
    document: dict[str, Any] = {"": copy.deepcopy(MINIMAL)}
    node: Any = document
    way = ["", *place]
    for key in way[:-1]:
        node = node[key]
    node[way[-1]] = value
    file = tmp_path / "template.yaml"
    file.write_text(yaml.safe_dump(document[""]))
    try:
        template = load_template(file)
    except TemplateError:
        return
    assert all(route.function in template.functions for route in template.routes)


def test_a_template_that_contains_itself_is_refused(tmp_path):
    file = tmp_path / "template.yaml"
    file.write_text("Resources: &all\n  Api: {Type: AWS::Serverless::Api, Properties: *all}\n")
    with pytest.raises(TemplateError):
        load_template(file)
