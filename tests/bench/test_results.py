"""docs/RESULTS.md says what was measured, and its commands are accepted."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from dvc.utils.hydra import apply_overrides
from malaria.markdown import publish, to_markdown

from bench.results import FOLDER, PAGE, TABLES, read_table, remember_minutes, render
from malaria.params import load_params
from tests.support.scratch import ROOT, Repository

RESULTS = (ROOT / PAGE).read_text("utf-8")


@pytest.mark.parametrize("title", TABLES)
def test_each_table_is_the_short_form_of_what_was_measured(title: str) -> None:
    measured = read_table(ROOT / FOLDER / f"{title}.csv")
    assert measured.variant.tolist() == list(TABLES[title].variants)
    assert measured.params.tolist() == list(TABLES[title].variants.values())
    assert (measured.runs == len(TABLES[title].folds)).all()
    assert publish(title, render(measured), RESULTS) == RESULTS


def test_every_csv_is_of_a_table() -> None:
    others = {"faults", "robustness", "unlike"}  # of scripts of their own
    assert {path.stem for path in (ROOT / FOLDER).glob("*.csv")} == set(TABLES) | others


def test_the_page_has_the_table_of_pictures_that_are_no_cells() -> None:
    measured = pd.read_csv(ROOT / FOLDER / "unlike.csv")
    assert publish("unlike", to_markdown(measured), RESULTS) == RESULTS


@pytest.mark.parametrize("params", sorted({params for table in TABLES.values() for params in table.variants.values()}))
def test_the_params_of_every_variant_are_accepted(params: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    apply_overrides(tmp_path / "params.yaml", params.split())  # as `dvc exp run` does it
    load_params(tmp_path / "params.yaml")


def test_a_table_takes_the_place_between_its_marks() -> None:
    page = "a\n<!-- one -->\nold\nolder\n<!-- end -->\nb\n<!-- two -->\nother\n<!-- end -->\n"
    assert publish("one", "new", page) == page.replace("old\nolder", "new")
    assert publish("two", "new", page) == page.replace("other", "new")
    empty = page.replace("old\nolder\n", "")
    assert publish("one", "new", empty) == page.replace("old\nolder", "new")
    with pytest.raises(ValueError, match="no place for the table: write <!-- three -->"):
        publish("three", "new", page)


def test_what_comes_from_the_cache_keeps_the_minutes_it_once_took(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    fresh = pd.DataFrame({"variant": ["a", "b", "c"], "minutes": [1.5, None, None]})
    assert remember_minutes(fresh.copy(), path).minutes.isna().sum() == 2
    pd.DataFrame({"variant": ["b", "a"], "params": ["", ""], "minutes": [4.0, 9.0]}).to_csv(path, index=False)
    minutes = remember_minutes(fresh.copy(), path).set_index("variant").minutes
    assert (minutes["a"], minutes["b"]) == (1.5, 4.0)
    assert pd.isna(minutes["c"])


def test_the_page_names_each_command_that_made_a_table() -> None:
    assert set(re.findall(r"bench/results\.py ([a-z0-9-]+)", RESULTS)) == set(TABLES)


@pytest.mark.exhaustive
def test_variants_are_run_and_compared(scratch: Repository) -> None:
    """On drawn cells and two folds: one row for both, with the minutes; a second time nothing is trained."""
    command = "uv run python bench/results.py folds --fold 0 1"
    row = r"^\| default \|  \| 2 \| \d+ \| .* ± .* \| {} \|$"
    assert re.search(row.format(r"\d+\.\d"), scratch.run(command), re.MULTILINE)
    again = scratch.run(command)
    assert "Running stage 'train'" not in again
    assert re.search(row.format(""), again, re.MULTILINE)
    assert scratch.run("git diff") == ""
