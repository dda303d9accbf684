"""No input becomes code, SQL or an endless search (ASVS 5.0 V1.2, V1.3, V1.5)."""

import ast
import importlib
import pkgutil
import re
from types import ModuleType
from typing import Any

import pytest

from tests.support.source_code import LAYER, deployed_nodes, names_imported_by

pytestmark = pytest.mark.project

#: The parser of the module ``re``.
sre = importlib.import_module("re._parser")
#: Modules that run commands or code, unpickle objects, or parse XML.
DANGEROUS_MODULES = {
    *("subprocess", "pty", "ctypes", "code", "codeop", "runpy"),
    *("pickle", "marshal", "shelve", "yaml", "xml", "lxml", "jsonpickle", "dill"),
}
DANGEROUS_NAMES = {"eval", "exec", "compile", "__import__", "system", "popen", "format_map", "execv", "spawnv"}


def calls() -> list[tuple[str, ast.Call]]:
    return [(place, node) for place, node in deployed_nodes() if isinstance(node, ast.Call)]


def called(node: ast.Call) -> str:
    """Return the last part of the name of the called function, or "" if it has no name."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


@pytest.mark.asvs("1.2.5", "1.3.6", "1.5.2", "15.2.5")
def test_deployed_code_cannot_run_commands_or_unpickle():
    imported = [(place, name) for place, node in deployed_nodes() for name in names_imported_by(node)]
    assert [(place, name) for place, name in imported if name.partition(".")[0] in DANGEROUS_MODULES] == []


@pytest.mark.asvs("1.2.5", "1.3.2", "1.3.10")
def test_deployed_code_runs_no_text_as_code_or_format():
    """``re.compile`` is allowed. The tests below check the patterns."""
    dangerous = [
        place
        for place, call in calls()
        if called(call) in DANGEROUS_NAMES or (called(call) == "format" and isinstance(call.func, ast.Attribute))
        if ast.unparse(call.func) != "re.compile"
    ]
    assert dangerous == []


@pytest.mark.asvs("1.2.4")
def test_sql_text_is_a_literal_with_bound_values():
    """SQL that is not built from SQLAlchemy expressions is a string literal without interpolation.

    One exception is privileges.py, because GRANT accepts no parameters. Its names are constants, and its ARNs are
    validated. The other is count_statement.py, whose text has numbers of the limits, and whose values are bound.
    """
    exceptions = ("/database/privileges.py:", "/throttling/count_statement.py:")
    statements = {
        place: call.args[0]
        for place, call in calls()
        if called(call) in {"text", "exec_driver_sql", "literal_column", "DDL"}
        and not any(name in place for name in exceptions)
    }
    assert len(statements) >= 4
    assert [place for place, argument in statements.items() if not isinstance(argument, ast.Constant)] == []


def layer_modules() -> list[ModuleType]:
    packages = pkgutil.walk_packages([str(LAYER)], f"{LAYER.name}.")
    # Alembic alone can import its environment and the migrations.
    return [importlib.import_module(package.name) for package in packages if ".migrations." not in package.name]


def can_backtrack_exponentially(pattern: str | bytes) -> bool:
    """Return whether an unbounded repetition contains another one, as in ``(a+)+``, even if that one is harmless."""

    def repeats(items: Any, *, inside: bool) -> bool:
        for operator, argument in items:
            is_repetition = operator in {sre.MAX_REPEAT, sre.MIN_REPEAT}
            is_unbounded = is_repetition and argument[1] == sre.MAXREPEAT
            if inside and is_unbounded:
                return True
            parts = [argument[2]] if is_repetition else argument[1] if operator is sre.BRANCH else [argument]
            for part in parts:
                inner = part[-1] if operator in {sre.SUBPATTERN, sre.ASSERT, sre.ASSERT_NOT} else part
                if isinstance(inner, sre.SubPattern) and repeats(inner, inside=inside or is_unbounded):
                    return True
        return False

    return repeats(sre.parse(pattern), inside=False)


@pytest.mark.asvs("1.3.12")
@pytest.mark.threat("function-slow-input")
def test_regular_expressions_do_not_backtrack_exponentially():
    """ReDoS (ASVS 5.0 1.3.12). The patterns in settings.py are not applied to requests."""
    compiled = [place for place, call in calls() if ast.unparse(call.func) == "re.compile"]
    patterns = {
        f"{module.__name__}.{name}": value.pattern
        for module in layer_modules()
        for name, value in vars(module).items()
        if isinstance(value, re.Pattern)
    }
    assert len(patterns) == len(compiled), "a pattern that is not a constant of a module of the layer is not checked"
    applied = {name: pattern for name, pattern in patterns.items() if not name.startswith("auth_common.settings.")}
    assert [name for name, pattern in applied.items() if can_backtrack_exponentially(pattern)] == []


@pytest.mark.asvs("1.3.12")
@pytest.mark.parametrize("pattern", ["(a+)+", "(?:a*b?)*c", "((x|y+)z)+", "(?=(a+)+)b", "(?:[a-z]+ ?){2,}"])
def test_exponentially_backtracking_pattern_is_found(pattern):
    assert can_backtrack_exponentially(pattern)
