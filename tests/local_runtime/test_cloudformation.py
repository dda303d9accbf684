import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_runtime.cloudformation import Intrinsics, TemplateError, read_template

pytestmark = pytest.mark.local_runtime

TEMPLATE = """
Parameters:
  Stage: {Type: String, Default: local}
  Zones: {Type: CommaDelimitedList, Default: "a, b,c"}
  Count: {Type: Number, Default: 3}
  Secret: {Type: String}
Mappings:
  Sizes:
    local: {memory: 256}
    prod: {memory: 1024}
Conditions:
  IsLocal: !Equals [!Ref Stage, local]
  IsDeployed: !Not [!Condition IsLocal]
  Both: !And [!Condition IsLocal, !Condition IsDeployed]
  Either: !Or [!Condition IsLocal, !Condition IsDeployed]
Resources:
  Worker: {Type: "AWS::Serverless::Function"}
  Table: {Type: "AWS::DynamoDB::Table"}
  DeployedOnly: {Type: "AWS::KMS::Key", Condition: IsDeployed}
  LocalOnly: {Type: "AWS::KMS::Key", Condition: IsLocal}
"""


def resolve(tmp_path, expression):
    """Return the value of an expression in YAML, as a part of ``TEMPLATE``."""
    file = tmp_path / "template.yaml"
    file.write_text(f"{TEMPLATE}\nOutputs:\n  Value: {expression}\n")
    document = read_template(file)
    return Intrinsics(document).resolve(document["Outputs"]["Value"])


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("!Ref Stage", "local"),
        ("{Ref: Stage}", "local"),
        ("!Ref Count", "3"),
        ("!Ref Zones", ["a", "b", "c"]),
        ("!Ref Worker", "Worker"),
        ("!Ref AWS::Region", "us-east-1"),
        ("!Ref AWS::NoValue", None),
        ("!GetAtt Worker.Arn", "arn:aws:lambda:us-east-1:123456789012:function:Worker"),
        ("{Fn::GetAtt: [Worker, Arn]}", "arn:aws:lambda:us-east-1:123456789012:function:Worker"),
        ("!GetAtt Table.StreamArn", "Table.StreamArn"),
        ("!Sub '${Stage}-${AWS::AccountId}-${Table.Arn}'", "local-123456789012-Table.Arn"),
        ("!Sub ['${Name}/${Stage}', {Name: !Ref Worker}]", "Worker/local"),
        ("!Sub '${!Stage} costs $5'", "${Stage} costs $5"),
        ("!If [IsLocal, yes it is, !Ref Nowhere]", "yes it is"),
        ("!If [IsDeployed, !Ref Nowhere, 12]", 12),
        ("!If [Both, 1, 2]", 2),
        ("!If [Either, 1, 2]", 1),
        ("!Join ['-', [a, !Ref Stage, 1]]", "a-local-1"),
        ("!Select [1, !Ref Zones]", "b"),
        ("!Split ['-', !Sub '${Stage}-b']", ["local", "b"]),
        ("!FindInMap [Sizes, !Ref Stage, memory]", 256),
        ("{a: [!Ref Stage, {b: !Ref Stage}], c: null}", {"a": ["local", {"b": "local"}], "c": None}),
        ("{keep: 1, drop: !Ref AWS::NoValue}", {"keep": 1}),
        ("[1, !Ref AWS::NoValue, 2]", [1, 2]),
        ("{Condition: {StringEquals: x}}", {"Condition": {"StringEquals": "x"}}),
        ("!Ref LocalOnly", "LocalOnly"),
    ],
)
def test_intrinsic_function_has_the_value_of_a_default_deployment(tmp_path, expression, value):
    result = resolve(tmp_path, f"[{expression}]")
    assert result == ([] if value is None else [value])


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("!Ref Nowhere", "Nowhere is neither a parameter nor a resource"),
        ("!Ref Secret", "parameter Secret has no default"),
        ("!Ref DeployedOnly", "DeployedOnly is neither"),
        ("!GetAtt Nowhere.Arn", "Nowhere is neither"),
        ("!GetAtt Worker", "Fn::GetAtt has wrong arguments"),
        ("!Sub '${Nowhere}'", "Nowhere is neither"),
        ("!If [Unknown, 1, 2]", "condition Unknown is not defined"),
        ("!If [IsLocal, 1]", "Fn::If has wrong arguments"),
        ("!Select [7, [a]]", "Fn::Select has wrong arguments"),
        ("!FindInMap [Sizes, dev, memory]", "Fn::FindInMap has wrong arguments"),
        ("!Cidr [10.0.0.0/16, 6, 5]", "does not know Fn::Cidr"),
        ("!Transform {Name: AWS::Include}", "does not know Fn::Transform"),
    ],
)
def test_expression_that_cannot_be_evaluated_is_an_error(tmp_path, expression, reason):
    with pytest.raises(TemplateError, match=reason):
        resolve(tmp_path, expression)


@pytest.mark.parametrize("text", ["Resources: [", "- a\n- b\n", "Resources: !!python/object/apply:os.getpid []", None])
def test_file_that_is_missing_or_no_template_is_rejected(tmp_path, text):
    file = tmp_path / "template.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(TemplateError, match=r"template\.yaml"):
        read_template(file)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc", min_size=1), inner),
)


@given(PLAIN)
def test_value_without_intrinsic_functions_is_unchanged(value):
    assert Intrinsics({}).resolve(value) == value


@given(st.text(st.characters(exclude_characters="$")))
def test_sub_of_text_without_placeholders_is_unchanged(text):
    assert Intrinsics({}).resolve({"Fn::Sub": text}) == text
