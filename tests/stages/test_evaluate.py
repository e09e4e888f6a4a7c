"""Predictions are evaluated at every choice and both ends of every range of the params."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from malaria.core.artifacts import write_array, write_csv
from malaria.core.errors import UserError
from malaria.evaluation.examples import SHOWN_AUGMENTED, pick_parasitized
from malaria.evaluation.ood import STATISTICS
from malaria.evaluation.predictions import CORRECTED, WITHOUT_DOUBTED
from malaria.params import NOTHING, Evaluate, Params
from stages.evaluate import choose_on_val, evaluate, main
from tests.support.models import config, make_model
from tests.support.param_fields import changed, ends_of
from tests.support.tables import random_predictions

FACTS = config("small_resnet").model_dump() | {
    "trained_on": "cells",
    "tta": False,
    "temperature": 1.0,
    "reference_quantiles": dict.fromkeys(STATISTICS, (-9.0, 0.0, 9.0)),
    "saliency_peak": 1.0,
    "parameters": 1,
    "macs": 1,
}
ENDS = ends_of("evaluate")


@pytest.mark.parametrize("threshold", ENDS["threshold"])
@pytest.mark.parametrize("end", [0, 1])
def test_every_operating_point_is_evaluated_at_both_ends_of_the_ranges(
    threshold: str, end: int, workspace: Path
) -> None:
    predictions = random_predictions(n=100).assign(ood_score=lambda cells: cells.logit.abs())
    label_error, abstain, ood = (ENDS[key][end] for key in ("label_error", "abstain", "ood"))
    params = Evaluate(
        threshold=threshold,
        tta=False,
        label_error=label_error,
        abstain=abstain,
        ood=ood,
        doubted=NOTHING,
        corrections=NOTHING,
    )
    card = choose_on_val(predictions[predictions.split == "val"], FACTS, params)
    assert card.error_rates
    assert all(card.error_rates.at(card.threshold))
    evaluate(predictions, card, label_error, doubted=None, corrections=None)
    metrics = pd.read_csv("plots/metrics.csv").set_index("metric")
    for rate in ("uncertain_rate", "ood_rate"):
        assert metrics.val[rate] == pytest.approx(end, abs=0.02)


def test_a_few_parasitized_cells_of_train_are_shown_augmented_as_far_as_there_are_any() -> None:
    labels = [1] * 3 + [0] * 20
    split = pd.DataFrame({"name": [f"{n}.png" for n in range(23)], "label": labels, "split": "train"})
    shown = pick_parasitized(split, "train").head(SHOWN_AUGMENTED)
    assert sorted(shown.name) == ["0.png", "1.png", "2.png"]
    assert len(pick_parasitized(split.assign(label=1), "train").head(SHOWN_AUGMENTED)) == SHOWN_AUGMENTED


@pytest.fixture
def trained(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which the stage finds a model of random weights and 48 cells, of two patients in each split."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # two threads spin where another test works
    make_model(Path("models"))
    write_array(Path("data/cells.npy"), np.random.default_rng(0).integers(0, 256, (48, 32, 32, 3), dtype=np.uint8))
    rows = [(f"{n}.png", n % 2, f"C{n // 8}", ("train", "val", "test")[n // 16]) for n in range(48)]
    write_csv(Path("data/split.csv"), pd.DataFrame(rows, columns=["name", "label", "patient", "split"]))
    yield workspace
    torch.set_deterministic_debug_mode("default")


def run_stage(**files: str) -> dict[str, bytes]:
    """What the stage writes, by path; `files` are those of disputed labels."""
    names = {f"evaluate.{key}": name for key, name in files.items()}
    main(Params.model_validate(changed({"preprocess.size": 32} | names)))
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("key", "content", "columns", "cells"),
    [
        ("doubted", "name\n33.png\n40.png\n41.png\n0.png\n", WITHOUT_DOUBTED, 16 - 3),
        ("corrections", "name,label\n33.png,0\n40.png,unsure\n0.png,unsure\n20.png,1\n", CORRECTED, 16 - 1),
    ],
)
def test_disputed_labels_change_three_columns_of_one_table_and_nothing_else(
    key: str, content: str, columns: list[str], cells: int, trained: Path
) -> None:
    (trained / "disputed.csv").write_text(content)
    before = run_stage()
    plain = pd.read_csv("plots/metrics.csv", dtype=str)
    after = run_stage(**{key: "disputed.csv"})
    assert [path for path in after if after[path] != before.get(path)] == ["plots/metrics.csv"]
    table = pd.read_csv("plots/metrics.csv", dtype=str)
    assert table.columns.tolist() == plain.columns.tolist()
    assert table.drop(columns=columns).equals(plain.drop(columns=columns))
    assert plain[columns].isna().all(axis=None)
    counts = table.set_index("metric")[columns[0]][["tp", "fp", "fn", "tn"]].astype(float)
    assert counts.sum() == cells


@pytest.mark.parametrize("key", ["doubted", "corrections"])
def test_a_file_of_disputed_labels_that_is_of_no_use_stops_the_stage_before_it_writes(key: str, trained: Path) -> None:
    (trained / "disputed.csv").write_text("name,label\nelsewhere.png,1\n")
    for name in ("disputed.csv", "nowhere.csv"):
        with pytest.raises(UserError, match=rf"evaluate\.{key}: {name}"):
            run_stage(**{key: name})
    assert not Path("data/predictions.csv").exists()
