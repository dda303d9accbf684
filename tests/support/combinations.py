"""All combinations of the template's parameters, as far as its conditions and references can tell them apart.

The product of all parameters has millions of combinations. A reference depends on a few conditions, and these on a few
parameters, so each check goes through the combinations of these parameters only.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

from local_runtime.cloudformation import Intrinsics
from tests.support.deployment import as_list, functions_in, translated

_PLACEHOLDER = re.compile(r"\$\{([^!}][^}]*)\}")


@dataclass(frozen=True)
class Reference:
    """A reference from a resource or an output to another name of the template, on one branch of its ``Fn::If``."""

    source: str
    target: str
    #: The conditions of the branch, with the value that each of them has there.
    branch: frozenset[tuple[str, bool]]
    #: CloudFormation ignores a ``DependsOn`` whose resource does not exist.
    is_order_only: bool = False


def references() -> Iterator[Reference]:
    """Yield every reference in the resources and outputs of the deployed template."""
    template = translated()
    for name, resource in template["Resources"].items():
        own = {(condition, True) for condition in as_list(resource.get("Condition", []))}
        yield from _references(name, resource.get("Properties", {}), frozenset(own))
        for target in as_list(resource.get("DependsOn", [])):
            yield Reference(name, target, frozenset(own), is_order_only=True)
    for name, output in template["Outputs"].items():
        own = {(condition, True) for condition in as_list(output.get("Condition", []))}
        yield from _references(name, output["Value"], frozenset(own))


def _references(source: str, value: Any, branch: frozenset[tuple[str, bool]]) -> Iterator[Reference]:
    if isinstance(value, list):
        for item in value:
            yield from _references(source, item, branch)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "Fn::If":
                condition, *choices = item
                for choice, is_true in zip(choices, (True, False), strict=True):
                    if (condition, not is_true) not in branch:
                        yield from _references(source, choice, branch | {(condition, is_true)})
                continue
            for name in _names_in(key, item):
                yield Reference(source, name.partition(".")[0], branch)
            yield from _references(source, item, branch)


def _names_in(function: str, argument: Any) -> list[str]:
    """Return the names that an intrinsic function refers to. The name of a resource may have an attribute."""
    if function == "Ref":
        return [argument]
    if function == "Fn::GetAtt":
        return [argument if isinstance(argument, str) else argument[0]]
    if function == "Fn::Sub":
        text, variables = (argument, {}) if isinstance(argument, str) else argument
        return [name for name in _PLACEHOLDER.findall(text) if name not in variables]
    return []


def conditions_in(value: Any) -> Iterator[str]:
    """Yield the name of each condition that ``value`` depends on."""
    if isinstance(value, list):
        for item in value:
            yield from conditions_in(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "Fn::If":
                yield item[0]
            elif key == "Condition" and isinstance(item, str):
                yield item
            yield from conditions_in(item)


def combinations(conditions: Iterable[str]) -> Iterator[dict[str, str]]:
    """Yield all values of the parameters of ``conditions`` that the template's rules accept."""
    document = translated()["Conditions"]
    names = {name for condition in conditions for name in _parameters_of(document[condition])}
    # A rule on further parameters is left out. So the checks may see combinations that a deployment rejects.
    rules = [rule for rule in _rules() if _parameters_of(rule) <= names]
    for values in product(*(values_of(name) for name in sorted(names))):
        chosen = dict(zip(sorted(names), values, strict=True))
        if all(_accepts(rule, chosen) for rule in rules):
            yield chosen


@cache
def values_of(parameter: str) -> tuple[str, ...]:
    """Return the values of a parameter that conditions or rules tell apart, and one for all others."""
    definition = translated()["Parameters"][parameter]
    named = {
        str(other)
        for left, right in _comparisons({"conditions": translated()["Conditions"], "rules": translated()["Rules"]})
        for this, other in ((left, right), (right, left))
        if this == {"Ref": parameter} and not isinstance(other, dict)
    }
    # A name of its own, because a rule may require two parameters to differ.
    allowed = definition.get("AllowedValues", [f"another {parameter}"])
    others = [str(value) for value in allowed if str(value) not in named]
    return (*sorted(named), *others[:1])


@cache
def stack(chosen: frozenset[tuple[str, str]]) -> Intrinsics:
    """Return the deployed template with these values of parameters. The others have their defaults."""
    template = translated()
    parameters = {**template["Parameters"]}
    for name, value in chosen:
        parameters[name] = {**parameters[name], "Default": value}
    return Intrinsics({**template, "Parameters": parameters})


def _without_resources(chosen: Mapping[str, str]) -> Intrinsics:
    parameters = {name: {"Default": value} for name, value in chosen.items()}
    return Intrinsics({"Parameters": parameters, "Conditions": translated()["Conditions"]})


def exists(name: str, chosen: Mapping[str, str]) -> bool:
    """Return whether the stack has the resource ``name`` with these values of parameters."""
    condition = translated()["Resources"][name].get("Condition")
    return condition is None or holds(condition, chosen)


def holds(condition: str, chosen: Mapping[str, str]) -> bool:
    """Return the value of a condition, whose parameters must be in ``chosen``."""
    return bool(_without_resources(chosen).resolve({"Condition": condition}))


def _comparisons(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, list):
        for item in value:
            yield from _comparisons(item)
    elif isinstance(value, dict):
        if "Fn::Equals" in value:
            left, right = value["Fn::Equals"]
            yield left, right
        for item in value.values():
            yield from _comparisons(item)


def _parameters_of(value: Any) -> set[str]:
    """Return the parameters that a condition or a rule depends on."""
    if isinstance(value, list):
        return {name for item in value for name in _parameters_of(item)}
    if not isinstance(value, dict):
        return set()
    found: set[str] = set()
    for key, item in value.items():
        if key == "Ref":
            found.add(item)
        elif key == "Condition" and isinstance(item, str):
            found |= _parameters_of(translated()["Conditions"][item])
        else:
            found |= _parameters_of(item)
    return {name for name in found if name in translated()["Parameters"]}


@cache
def _rules() -> list[dict[str, Any]]:
    """Return each assertion of the rules, with its condition, if it uses only functions of conditions."""
    known = {"Ref", "Fn::Equals", "Fn::Not", "Fn::And", "Fn::Or"}
    single = [
        {"when": rule.get("RuleCondition", {"Fn::Not": [False]}), "then": assertion["Assert"]}
        for rule in translated()["Rules"].values()
        for assertion in rule["Assertions"]
    ]
    return [rule for rule in single if known.issuperset(functions_in(rule))]


def _accepts(rule: Mapping[str, Any], chosen: Mapping[str, str]) -> bool:
    intrinsics = _without_resources(chosen)
    return bool(intrinsics.resolve(rule["then"]) or not intrinsics.resolve(rule["when"]))
