"""docs/RELIABILITY.md says what the tests of tests/faults provoke, and names no other."""

import ast
import re

from conftest import ROOT

FAULTS = ROOT / "tests" / "faults"


def test_the_page_has_a_row_of_every_test_of_a_fault_and_of_no_other() -> None:
    named = set(re.findall(r"`(test_\w+\.py::test_\w+)`", (ROOT / "docs/RELIABILITY.md").read_text("utf-8")))
    assert named == {f"{path.name}::{name}" for path in FAULTS.glob("test_*.py") for name in _tests(path.read_text())}


def _tests(text: str) -> list[str]:
    """The tests that say what they survived."""
    functions = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    tests = [node for node in functions if node.name.startswith("test_")]
    return [test.name for test in tests if "survived" in [argument.arg for argument in test.args.args]]
