"""Read CloudFormation templates: YAML with short tags (``!Ref``), and the intrinsic functions of SAM templates."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

#: Values that a deployment fills in. AWS's documentation uses the same account id.
REGION: Final = "us-east-1"
ACCOUNT_ID: Final = "123456789012"

_NO_VALUE: Final = object()
_PSEUDO_PARAMETERS: Final = {
    "AWS::AccountId": ACCOUNT_ID,
    "AWS::NoValue": _NO_VALUE,
    "AWS::NotificationARNs": [],
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT_ID}:stack/local/0",
    "AWS::StackName": "local",
    "AWS::URLSuffix": "amazonaws.com",
}
_PLACEHOLDER: Final = re.compile(r"\$\{(!?)([^}]+)\}")


class TemplateError(Exception):
    """The template is invalid, or uses a feature that the local runtime does not emulate. The text names the place."""


#: The parser in C is ten times as fast. A PyYAML that was built without libyaml lacks it.
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_SafeLoader):  # type: ignore[misc]  # one of two classes with the same methods
    """A ``SafeLoader``, which creates no Python objects, with CloudFormation's short tags."""


def _construct_intrinsic(loader: _Loader, name: str, node: yaml.Node) -> dict[str, Any]:
    """Return the long form of ``!Name value``: ``{"Fn::Name": value}``."""
    value: Any
    if isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = node.value
    return {name if name in {"Ref", "Condition"} else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _construct_intrinsic)


def read_template(path: Path) -> dict[str, Any]:
    """Return the template as a dictionary. Its intrinsic functions have their long form (``{"Ref": …}``).

    Raises:
        TemplateError: the file is missing, or is not YAML with a mapping at its top.

    """
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
    except (OSError, ValueError, yaml.YAMLError) as error:
        message = f"{path.name} cannot be read: {error}"
        raise TemplateError(message) from error
    if not isinstance(document, dict):
        message = f"{path.name} is not a template: it must have a mapping at its top"
        raise TemplateError(message)
    return document


class Intrinsics:
    """Evaluates intrinsic functions with the parameters' defaults, as a deployment without overrides does.

    Args:
        document: the dictionary that ``read_template`` returns.

    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        """See the class."""
        self._parameters: Mapping[str, Any] = document.get("Parameters") or {}
        self._mappings: Mapping[str, Any] = document.get("Mappings") or {}
        self._conditions: Mapping[str, Any] = document.get("Conditions") or {}
        #: The values of the conditions that were evaluated.
        self._holds: dict[str, bool] = {}
        #: The resources without a ``Condition`` and those whose ``Condition`` is true. A condition cannot refer to a
        #: resource, so the empty dictionary suffices until all of them are evaluated.
        self.resources: Mapping[str, Any] = {}
        self.resources = {
            name: resource
            for name, resource in (document.get("Resources") or {}).items()
            if "Condition" not in resource or self._condition(resource["Condition"])
        }

    def resolve(self, value: Any) -> Any:
        """Return ``value`` with the result of every intrinsic function in it.

        Raises:
            TemplateError: a reference names nothing in the template, or this class does not know the function.

        """
        if isinstance(value, list):
            return [item for item in map(self.resolve, value) if item is not _NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((name, argument),) = value.items()
            if name == "Ref":
                return self._ref(argument)
            if name == "Condition" and isinstance(argument, str):
                return self._condition(argument)
            if name.startswith("Fn::"):
                return self._call(name, argument)
        resolved = ((key, self.resolve(item)) for key, item in value.items())
        return {key: item for key, item in resolved if item is not _NO_VALUE}

    def _call(self, name: str, argument: Any) -> Any:
        function = getattr(self, f"_fn_{name.removeprefix('Fn::').lower()}", None)
        if function is None:
            message = f"the local runtime does not know {name}"
            raise TemplateError(message)
        try:
            return function(argument)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            message = f"{name} has wrong arguments: {argument}"
            raise TemplateError(message) from error

    def _ref(self, name: str) -> Any:
        if name in _PSEUDO_PARAMETERS:
            return _PSEUDO_PARAMETERS[name]
        if name in self._parameters:
            return self._parameter(name)
        self._require_resource(name)
        return name

    def _parameter(self, name: str) -> Any:
        parameter = self._parameters[name]
        if "Default" not in parameter:
            message = f"parameter {name} has no default"
            raise TemplateError(message)
        default = str(parameter["Default"])
        if parameter.get("Type") in {"CommaDelimitedList", "List<Number>"}:
            return [item.strip() for item in default.split(",")]
        return default

    def _condition(self, name: str) -> bool:
        if name not in self._conditions:
            message = f"condition {name} is not defined"
            raise TemplateError(message)
        if name not in self._holds:
            self._holds[name] = bool(self.resolve(self._conditions[name]))
        return self._holds[name]

    def _require_resource(self, name: str) -> None:
        if name not in self.resources:
            message = f"{name} is neither a parameter nor a resource of this template"
            raise TemplateError(message)

    def _fn_getatt(self, argument: str | list[str]) -> str:
        name, attribute = argument.split(".", 1) if isinstance(argument, str) else argument
        self._require_resource(name)
        if attribute == "Arn" and self.resources[name]["Type"] == "AWS::Serverless::Function":
            return function_arn(name)
        return f"{name}.{attribute}"  # a placeholder, because only a deployment knows the value

    def _fn_sub(self, argument: str | list[Any]) -> str:
        text, variables = (argument, {}) if isinstance(argument, str) else argument

        def substitute(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return f"${{{name}}}"
            if name in variables:
                return str(self.resolve(variables[name]))
            return str(self._fn_getatt(name) if "." in name else self._ref(name))

        return _PLACEHOLDER.sub(substitute, text)

    def _fn_if(self, argument: list[Any]) -> Any:
        condition, then, otherwise = argument
        return self.resolve(then if self._condition(condition) else otherwise)

    def _fn_equals(self, argument: list[Any]) -> bool:
        left, right = self.resolve(argument)
        return str(left) == str(right)

    def _fn_not(self, argument: list[Any]) -> bool:
        (value,) = self.resolve(argument)
        return not value

    def _fn_and(self, argument: list[Any]) -> bool:
        return all(self.resolve(argument))

    def _fn_or(self, argument: list[Any]) -> bool:
        return any(self.resolve(argument))

    def _fn_join(self, argument: list[Any]) -> str:
        separator, items = self.resolve(argument)
        return str(separator).join(map(str, items))

    def _fn_select(self, argument: list[Any]) -> Any:
        index, items = self.resolve(argument)
        return items[int(index)]

    def _fn_split(self, argument: list[Any]) -> list[str]:
        separator, text = self.resolve(argument)
        return str(text).split(separator)

    def _fn_findinmap(self, argument: list[Any]) -> Any:
        mapping, first, second = self.resolve(argument)
        return self._mappings[mapping][first][second]


def function_arn(name: str) -> str:
    """Return the ARN of the function with the logical id ``name``."""
    return f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{name}"
