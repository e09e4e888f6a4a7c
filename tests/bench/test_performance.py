"""docs/PERFORMANCE.md shows what the scripts of bench/ printed, and its verdicts follow from it."""

import re
from pathlib import Path

import pytest

from tests.support.scratch import ROOT

PAGE = (ROOT / "docs/PERFORMANCE.md").read_text("utf-8")
OUTPUTS = sorted((ROOT / "docs/performance").glob("*.txt"))


@pytest.mark.parametrize("output", OUTPUTS, ids=lambda path: path.stem)
def test_each_output_is_on_the_page_below_its_command(output: Path) -> None:
    block = f"```\n{output.read_text('utf-8')}```\n"
    assert block in PAGE
    above = PAGE.split(block)[0].rstrip().splitlines()[-1]
    assert re.search(rf"`uv run (--(with|extra) \S+ )?python bench/{output.stem}\.py[^`]*`", above)


def test_every_script_that_the_page_names_exists() -> None:
    scripts = set(re.findall(r"bench/\w+\.py", PAGE))
    assert scripts
    assert all((ROOT / script).is_file() for script in scripts)


def test_the_targets_said_to_be_met_are_met() -> None:
    measured = (ROOT / "docs/performance/time_to_accuracy.txt").read_text("utf-8")
    ratios = dict(re.findall(r"^ratio_(\w+): ([0-9.]+)$", measured, re.MULTILINE))
    assert float(ratios["cold"]) >= 10
    assert float(ratios["warm"]) >= 25
