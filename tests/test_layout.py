"""The modules of the library lean on each other one way: none reaches up to what uses it, none round to itself."""

import ast
from pathlib import Path

import pytest

from tests.support.imports import closure, imports_of
from tests.support.scratch import ROOT

MODULES = [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob("malaria/**/*.py"))]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_not_among_those_that_it_leads_to(module: str) -> None:
    assert module not in set().union(*(closure(path, ROOT) for path in imports_of(ROOT / module, ROOT)))


@pytest.mark.parametrize("module", MODULES)
def test_the_library_knows_neither_stages_nor_benchmarks_nor_tests(module: str) -> None:
    assert [name for name in closure(ROOT / module, ROOT) if not name.startswith("malaria/")] == []


def test_what_the_library_makes_does_not_depend_on_dvc() -> None:
    assert [name for name in MODULES if "dvc" in _packages(ROOT / name)] == ["malaria/experiments.py"]
    assert not any("dvclive" in _packages(ROOT / name) for name in MODULES)


def _packages(module: Path) -> set[str]:
    """The tops of all that it imports."""
    nodes = list(ast.walk(ast.parse(module.read_text("utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names}
