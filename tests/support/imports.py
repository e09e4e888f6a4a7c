"""Which modules of this repository a module imports, read from its source.

With `deep` also what it imports in functions, which it may do later.
"""

import ast
from collections.abc import Iterable
from functools import cache

from tests.support.scratch import ROOT


@cache
def names_imported(module: str, deep: bool = True) -> frozenset[str]:
    """The dotted names that a file of the repository imports: `a.b` and `a.b.c` for `from a.b import c`."""
    tree = ast.parse((ROOT / module).read_text("utf-8"))
    names = set()
    for node in ast.walk(tree) if deep else tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def packages_imported(module: str, deep: bool = True) -> set[str]:
    """The top-level packages among them, ours and others'."""
    return {name.partition(".")[0] for name in names_imported(module, deep)}


def modules_imported(module: str, deep: bool = True) -> set[str]:
    """The files of the repository among them, without `__init__.py`."""
    paths = {f"{name.replace('.', '/')}.py" for name in names_imported(module, deep)}
    return {path for path in paths if (ROOT / path).is_file()}


def closure(start: Iterable[str], deep: bool = True) -> set[str]:
    """The modules that these import, directly or through others, and these themselves."""
    found: set[str] = set()
    new = set(start)
    while new:
        found |= new
        new = {path for module in new for path in modules_imported(module, deep)} - found
    return found
