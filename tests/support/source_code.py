"""The project's Python modules as syntax trees, for tests that search the source code."""

import ast
from functools import cache
from pathlib import Path

from tests.support.runtime import PROJECT

LAYER = PROJECT / "layers" / "common" / "auth_common"
FUNCTIONS = sorted(path.name for path in (PROJECT / "functions").iterdir())


def modules_in(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (PROJECT / folder).rglob("*.py"))


#: The modules that run on AWS.
DEPLOYED = modules_in("functions", "layers")


def project_path(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), path)


@cache
def deployed_nodes() -> list[tuple[str, ast.AST]]:
    """Return every syntax node of the modules that run on AWS, each with its place as ``path:line``."""
    return [
        (f"{project_path(path)}:{getattr(node, 'lineno', 0)}", node)
        for path in DEPLOYED
        for node in ast.walk(tree(path))
    ]


def names_imported_by(node: ast.AST) -> list[str]:
    """Return the names of the modules that an import statement loads. A relative name starts with a dot."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [f"{'.' * node.level}{node.module or ''}"]
    return []


def imports(path: Path) -> set[str]:
    return {name for node in ast.walk(tree(path)) for name in names_imported_by(node)}


def libraries(path: Path) -> set[str]:
    """Return the top-level packages that a module imports anywhere, also inside functions."""
    return {name.partition(".")[0] for name in imports(path)}
