"""Does the interval of parasitemia hold the truth? `uv run python bench/parasitemia.py` writes it down.

Simulated smears of known parasitemia: of each patient 1, 5 or 20 photographs of 200 cells, called with the patient's
own sensitivity and specificity. Those are drawn from the Beta distributions that the error rates of val give (what the
estimate assumes), or are those of a patient of NIH's test split (what it meets): drawn from what that patient's cells
and the other test patients say of them, since few cells with no mistake are no specificity of 1. The estimate knows the
error rates of val alone. Uneven photographs have parasites in clusters: a correlation within the photograph.

Reads data/predictions.csv and models/model.json. Writes docs/results/parasitemia.csv and its short form into
docs/RESULTS.md: the share of 95 % intervals that hold the truth, their mean width, the mean estimate, and the share of
smears in which a parasite is taken as certain (a probability above 0.95).
"""

import argparse
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from bench.results import to_markdown, write_down
from malaria.data.index import read_index
from malaria.evaluation.calibration import Beta
from malaria.evaluation.model_card import read_card
from malaria.evaluation.thresholds import fit_error_rates
from malaria.slide.parasitemia import Parasitemia, estimate_parasitemia

PARASITEMIA = (0.0, 0.001, 0.01, 0.05, 0.2)
PHOTOGRAPHS = (1, 5, 20)
CELLS = 200  # of a photograph
SMEARS = 500  # of each row
CERTAIN = 0.95
ENOUGH = 10  # cells of each class of a test patient
CORRELATION = 0.01  # of infection, between cells of an uneven photograph
POINTS = ("default", "specificity_99")


def find_rates(test: pd.DataFrame, threshold: float) -> list[tuple[Beta, Beta]]:
    """What is known of sensitivity and specificity of each patient with enough cells of both classes."""
    right = (test.probability >= threshold) == (test.label == 1)
    table = right.groupby([test.patient, test.label]).agg(["sum", "size"]).unstack()
    table = table[(table["size"] >= ENOUGH).all(axis=1)]
    known = fit_error_rates(test).at(threshold)
    counts = [(table["sum"][label], table["size"][label]) for label in (1, 0)]
    betas = [
        [(beta[0] + hits, beta[1] + cells - hits) for hits, cells in zip(*of, strict=True)]
        for beta, of in zip(known, counts, strict=True)
        if beta
    ]
    return list(zip(*betas, strict=True))


def draw_smear(
    p: float, photographs: int, uneven: bool, rates: list[float], random: np.random.Generator
) -> tuple[int, ...]:
    """The cells called in each photograph, sorted."""
    share = np.full(photographs, p)
    if uneven and p > 0:
        share = random.beta(p * (1 / CORRELATION - 1), (1 - p) * (1 / CORRELATION - 1), photographs)
    sensitivity, specificity = rates
    infected = random.binomial(CELLS, share)
    called = random.binomial(infected, sensitivity) + random.binomial(CELLS - infected, 1 - specificity)
    return tuple(sorted(called.tolist()))


@cache
def estimate(called: tuple[int, ...], betas: tuple[Beta, Beta]) -> Parasitemia:
    return estimate_parasitemia(np.array(called), np.full(len(called), CELLS), *betas)


def measure(smears: list[tuple[int, ...]], betas: tuple[Beta, Beta], p: float) -> dict[str, float]:
    """How the estimates of smears of one parasitemia are."""
    table = pd.DataFrame([estimate(called, betas) for called in smears])
    return {
        "coverage": ((table.low <= p) & (p <= table.high)).mean(),
        "width": (table.high - table.low).mean(),
        "estimate": table.parasitemia.mean(),
        "certain": (table.any_parasite > CERTAIN).mean(),
    }


def simulate(val: pd.DataFrame, test: pd.DataFrame, points: dict[str, float]) -> Iterator[dict[str, object]]:
    """A row for each operating point, kind of patient and photograph, parasitemia and number of photographs."""
    known = fit_error_rates(val)
    for point, threshold in points.items():
        sensitivity, specificity = known.at(threshold)
        assert sensitivity, "val has parasitized cells"
        assert specificity, "val has uninfected cells"
        betas = sensitivity, specificity
        sources = {"as val": [betas], "NIH test": find_rates(test, threshold)}
        kinds = [("as val", False), ("NIH test", False), ("as val", True)]
        for (patients, uneven), p, photographs in product(kinds, PARASITEMIA, PHOTOGRAPHS):
            random = np.random.default_rng(0)
            smears = []
            for _ in range(SMEARS):
                patient = sources[patients][random.integers(len(sources[patients]))]
                rates = [float(random.beta(*beta)) for beta in patient]
                smears.append(draw_smear(p, photographs, uneven, rates, random))
            kind = {"threshold": point, "patients": patients, "uneven": uneven}
            yield kind | {"parasitemia": p, "photographs": photographs} | measure(smears, betas, p)


def render(table: pd.DataFrame) -> str:
    """Coverage by number of photographs, and of the most photographs the width and certainty, as Markdown."""
    table = table.assign(
        patients=table.patients + np.where(table.uneven, ", uneven", ""),
        **{name: (100 * table[name]).map("{:.1f}".format) for name in ("coverage", "width", "certain")},
    )
    wide = table.pivot(index=["threshold", "patients", "parasitemia"], columns="photographs")
    most = max(PHOTOGRAPHS)
    columns = {f"coverage %, {number}": wide["coverage"][number] for number in PHOTOGRAPHS}
    columns |= {f"width %, {most}": wide["width"][most], f"certain %, {most}": wide["certain"][most]}
    short = pd.DataFrame(columns).reset_index()
    short["parasitemia"] = (100 * short.parasitemia).map("{:g} %".format)
    return to_markdown(short)


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    predictions = read_index(Path("data/predictions.csv"))
    card = read_card(Path("models/model.json").read_bytes())
    points = {name: value for name in POINTS if (value := card.operating_points[name]) is not None}
    val, test = (predictions[predictions.split == split] for split in ("val", "test"))
    rows = []
    for row in simulate(val, test, points):
        rows.append(row)
        print(pd.DataFrame([row]).to_string(index=False, header=len(rows) == 1), flush=True)
    write_down("parasitemia", pd.DataFrame(rows), render)


if __name__ == "__main__":
    main()
