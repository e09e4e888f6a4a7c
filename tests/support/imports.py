"""Which modules of this repository a module imports, read from its source, also where it imports in a function."""

import ast
from collections.abc import Iterable
from functools import cache

from tests.support.scratch import ROOT


@cache
def names_imported(module: str) -> frozenset[str]:
    """The dotted names that a file of the repository imports: `a.b` and `a.b.c` for `from a.b import c`."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / module).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def packages_imported(module: str) -> set[str]:
    """The top-level packages among them, ours and others'."""
    return {name.partition(".")[0] for name in names_imported(module)}


def modules_imported(module: str) -> set[str]:
    """The files of the repository among them, without `__init__.py`."""
    paths = {f"{name.replace('.', '/')}.py" for name in names_imported(module)}
    return {path for path in paths if (ROOT / path).is_file()}


def closure(start: Iterable[str]) -> set[str]:
    """The modules that these import, directly or through others, and these themselves."""
    found: set[str] = set()
    new = set(start)
    while new:
        found |= new
        new = {path for module in new for path in modules_imported(module)} - found
    return found
