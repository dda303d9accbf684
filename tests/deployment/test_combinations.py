"""The stack can be made with every combination of its parameters: conditions, references and limits of CloudFormation.

SAM translates the template once. Its conditions stay in the translated template, and the tests evaluate them.
"""

import json
from graphlib import TopologicalSorter

import pytest

from tests.support.combinations import combinations, exists, holds, references, values_of
from tests.support.deployment import as_list, translated

pytestmark = [pytest.mark.deployment, pytest.mark.template]


@pytest.fixture(scope="module")
def all_references():
    return frozenset(references())


def names_of(*sections):
    return {name for section in sections for name in translated()[section]}


def test_each_reference_names_a_parameter_or_a_resource(all_references):
    unknown = {
        reference
        for reference in all_references
        if reference.target not in names_of("Parameters", "Resources") and not reference.target.startswith("AWS::")
    }
    assert unknown == set()


def missing_targets(reference):
    """Yield the combinations of parameters in which the reference is used, and its target does not exist."""
    target = translated()["Resources"].get(reference.target, {}).get("Condition")
    if target is None or reference.is_order_only:
        return
    conditions = {target, *(name for name, _ in reference.branch)}
    for chosen in combinations(conditions):
        is_used = all(holds(name, chosen) is value for name, value in reference.branch)
        if is_used and not exists(reference.target, chosen):
            yield chosen


def test_each_reference_resolves_in_every_combination(all_references):
    found = {(r.source, r.target): list(missing_targets(r)) for r in all_references}
    assert {names: missing[:1] for names, missing in found.items() if missing} == {}


def test_no_combination_has_a_cycle(all_references):
    """The references of all combinations together have no cycle, so those of one combination have none either."""
    resources = names_of("Resources")
    graph: dict[str, set[str]] = {name: set() for name in resources}
    for reference in all_references:
        if {reference.source, reference.target} <= resources and reference.source != reference.target:
            graph[reference.source].add(reference.target)
    assert len(list(TopologicalSorter(graph).static_order())) == len(resources)


def test_template_stays_below_the_limits_of_cloudformation():
    """500 resources, 200 parameters, 200 outputs, and 1 MB for the template that SAM's transform makes."""
    template = translated()
    assert len(template["Resources"]) < 500
    assert max(len(template["Parameters"]), len(template["Outputs"])) < 200
    assert len(json.dumps(template)) < 1_000_000


def test_each_condition_is_used_and_can_be_true_and_false():
    """A condition with one value hides a mistake in it. The rules reject the local stage."""
    template = translated()
    text = json.dumps(template)
    for name in template["Conditions"]:
        values = {holds(name, chosen) for chosen in combinations([name])}
        assert values == ({True, False} if name not in {"IsLocal", "IsDeployed"} else {name == "IsDeployed"}), name
        assert text.count(f'"{name}"') > 1, name


def test_values_of_parameters_are_those_that_conditions_tell_apart():
    assert values_of("ProxyLocks") == ("blue", "blue+green", "green", "none", "green+blue")
    assert values_of("DomainName") == ("", "another DomainName")


@pytest.mark.parametrize("name", ["Ref", "Fn::GetAtt", "Fn::Sub"])
def test_reference_to_a_missing_resource_is_found(name, monkeypatch, all_references):
    """The check finds a fault that the test adds: a reference to the pages from a resource that always exists."""
    target = {"Ref": "PagesBucket", "Fn::GetAtt": ["PagesBucket", "Arn"], "Fn::Sub": "${PagesBucket.Arn}/*"}[name]
    topic = translated()["Resources"]["AlarmTopic"]
    monkeypatch.setitem(topic["Properties"], "DisplayName", {name: target})
    added = [r for r in set(references()) - all_references if r.source == "AlarmTopic"]
    assert [r.target for r in added] == ["PagesBucket"]
    assert all(as_list(next(missing_targets(r))) for r in added)
