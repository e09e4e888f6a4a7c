"""docs/RESULTS.md shows what was measured, and its commands are accepted."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from dvc.utils.hydra import apply_overrides

from bench import baseline, doubted, external, labels, masks, ood, recipe, robustness
from bench.results import FOLDER, PAGE, TABLES, publish, read_table, remember_minutes, render
from malaria.params import load_params
from tests.support.scratch import ROOT, Repository

RESULTS = (ROOT / PAGE).read_text("utf-8")


RENDERS = dict.fromkeys(TABLES, render) | {
    "baseline": baseline.render,
    "doubted": doubted.render,
    "external": external.render,
    "external-ood": external.show_correlation,
    "label-errors": labels.render_label_errors,
    "labels": labels.render_labels,
    "masks": masks.render,
    "ood": ood.render,
    "recipe": recipe.render,
    "robustness": robustness.render,
}


@pytest.mark.parametrize("title", RENDERS)
def test_each_table_of_the_page_is_the_short_form_of_its_csv(title: str) -> None:
    assert publish(title, RENDERS[title](read_table(ROOT / FOLDER / f"{title}.csv")), RESULTS) == RESULTS


@pytest.mark.parametrize("title", TABLES)
def test_each_csv_has_the_variants_params_and_folds_of_its_table(title: str) -> None:
    measured, table = read_table(ROOT / FOLDER / f"{title}.csv"), TABLES[title]
    assert dict(zip(measured.variant, measured.params, strict=True)) == table.variants
    assert (measured.runs == len(table.folds)).all()


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
    with pytest.raises(ValueError, match="<!-- three -->"):
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
    row = r"^\| default +\| +\| 2 +\| \d+ +\| .* ± .* \| {} +\|$"
    assert re.search(row.format(r"\d+\.\d"), scratch.run(command), re.MULTILINE)
    again = scratch.run(command)
    assert "Running stage 'train'" not in again
    assert re.search(row.format(""), again, re.MULTILINE)
    assert scratch.run("git diff") == ""
