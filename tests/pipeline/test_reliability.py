"""docs/RELIABILITY.md says what the tests of tests/faults provoke."""

import ast
import re

from tests.support.scratch import ROOT

FAULTS = ROOT / "tests" / "faults"


def test_the_page_has_a_row_of_every_test_of_a_fault_in_ci_and_of_none_that_is_not_there() -> None:
    named = set(re.findall(r"`(test_\w+\.py::test_\w+)`", (ROOT / "docs/RELIABILITY.md").read_text("utf-8")))
    tests = [(path.name, test) for path in FAULTS.glob("test_*.py") for test in _tests(path.read_text("utf-8"))]
    assert named <= {f"{file}::{test.name}" for file, test in tests}
    assert named >= {f"{file}::{test.name}" for file, test in tests if not _is_exhaustive(test)}


def _tests(text: str) -> list[ast.FunctionDef]:
    """The tests that say what they survived."""
    functions = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    tests = [node for node in functions if node.name.startswith("test_")]
    return [test for test in tests if "survived" in [argument.arg for argument in test.args.args]]


def _is_exhaustive(test: ast.FunctionDef) -> bool:
    return any("mark.exhaustive" in ast.unparse(decorator) for decorator in test.decorator_list)
