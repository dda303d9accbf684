"""The definitions of the shared package that a function can reach, by the names in its code.

A definition reaches every function, class and variable that its body names, also by an import inside a function. The
result may have definitions that never run, and it lacks none, except methods of objects whose class the code does not
name.
"""

import ast
from collections import defaultdict
from collections.abc import Container, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.support.runtime import PROJECT

_LAYER = PROJECT / "layers" / "common"


class Definition(NamedTuple):
    """A function, a class or a variable at the top of a module, such as ``auth_common.keys.kms`` and ``KMSKey``."""

    module: str
    name: str

    def __str__(self) -> str:
        """Return the path in the package, such as ``keys.kms.KMSKey``."""
        return f"{self.module.removeprefix('auth_common.')}.{self.name}"


@cache
def definitions() -> Mapping[Definition, tuple[ast.stmt, ...]]:
    """Return the statements that make each definition of the shared package."""
    found: dict[Definition, list[ast.stmt]] = defaultdict(list)
    for file in sorted(_LAYER.glob("auth_common/**/*.py")):
        module = ".".join(file.relative_to(_LAYER).with_suffix("").parts).removesuffix(".__init__")
        for statement in _parse(file).body:
            for name in _names_defined_by(statement):
                found[Definition(module, name)].append(statement)
    return {definition: tuple(statements) for definition, statements in found.items()}


def reachable_from(function: str, *, except_through: Container[str] = ()) -> set[str]:
    """Return the definitions that a function such as ``login`` can reach, such as ``keys.kms.KMSKey``.

    Args:
        function: the name of a folder in ``functions``.
        except_through: definitions whose bodies are left out, because they reach others on the local stage only.

    """
    file = PROJECT / "functions" / function / "app.py"
    found = set(_named_in(_parse(file), "", _imports(file)))
    waiting = list(found)
    while waiting:
        definition = waiting.pop()
        further = set() if str(definition) in except_through else _named_by(definition) - found
        found |= further
        waiting += further
    return {str(definition) for definition in found}


@cache
def _named_by(definition: Definition) -> frozenset[Definition]:
    imports = _imports(_file_of(definition.module))
    statements = definitions()[definition]
    return frozenset(named for each in statements for named in _named_in(each, definition.module, imports))


def _named_in(tree: ast.AST, module: str, imports: Mapping[str, tuple[str, str]]) -> Iterator[Definition]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            named = Definition(*imports.get(node.id, (module, node.id)))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in imports:
            # An imported module: store.select_user
            named = Definition(".".join(filter(None, imports[node.value.id])), node.attr)
        else:
            continue
        if named in definitions():
            yield named


@cache
def _parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


@cache
def _imports(file: Path) -> Mapping[str, tuple[str, str]]:
    """Return what each imported name stands for: a module, and a name in it that may be a module too."""
    return {
        alias.asname or alias.name: (node.module, alias.name)
        for node in ast.walk(_parse(file))
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }


def _file_of(module: str) -> Path:
    path = _LAYER.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _names_defined_by(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
        yield statement.name
    elif isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        yield from (node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name))


def callers_of(name: str) -> set[str]:
    """Return the definitions that call the function ``name``, such as ``keys.kms.KMSKey``."""
    return {
        str(definition)
        for definition, statements in definitions().items()
        for statement in statements
        for node in ast.walk(statement)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
    }
