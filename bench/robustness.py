"""How much does it take to mislead a model? `uv run python bench/robustness.py [MODEL...]` writes it down.

Changes the images of the test set as microscopes, cameras and other programs might, in nine ways at three strengths,
and judges what each model (a folder or revision, as for `malaria predict`; default: models) says of them, by its own
threshold and temperature, beside what it says of the images as they are. Writes docs/results/robustness.csv, every
figure, and its short form into docs/RESULTS.md; of val (`--split val`), where to choose, it only prints.
"""

import argparse
import io
import zlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from malaria.markdown import publish, to_markdown
from PIL import Image
from scipy.ndimage import gaussian_filter

from malaria import load_model
from malaria.core.workers import count_cores
from malaria.data.decode import Pixels, open_archive, read_image, to_square
from malaria.evaluation.bootstrap import interval, resample
from malaria.evaluation.metrics import judge
from malaria.evaluation.predictions import judge_warnings
from malaria.model.hardware import prepare
from malaria.predict.classifier import Classifier

ARCHIVE, SPLIT = Path("data/cells.zip"), Path("data/split.csv")
TABLE, PAGE = Path("docs/results/robustness.csv"), Path("docs/RESULTS.md")
FIGURES = ["accuracy", "sensitivity", "specificity", "roc_auc", "brier", "ece"]

Change = Callable[[Pixels, float, np.random.Generator], Pixels]


def inside(image: Pixels) -> np.ndarray:
    """Where there is cell, (H, W, 1)."""
    return image.max(2, keepdims=True) > 0


def cut_out(changed: np.ndarray, image: Pixels) -> Pixels:
    """As bytes, black around the cell: what a microscope does comes before the cell is cut out."""
    return (changed.round().clip(0, 255) * inside(image)).astype(np.uint8)


def blur(image: Pixels, sigma: float, random: np.random.Generator) -> Pixels:
    """Out of focus; the black around the cell has no weight."""
    weight = gaussian_filter(inside(image).astype(float), (sigma, sigma, 0))
    return cut_out(gaussian_filter(image.astype(float), (sigma, sigma, 0)) / weight.clip(1e-6), image)


def noise(image: Pixels, deviation: float, random: np.random.Generator) -> Pixels:
    return cut_out(image + random.normal(0, deviation, image.shape), image)


def light(image: Pixels, factor: float, random: np.random.Generator) -> Pixels:
    return cut_out(image * factor, image)


def white_balance(image: Pixels, share: float, random: np.random.Generator) -> Pixels:
    """Red up and blue down, or the other way round."""
    warmer = share * random.choice([-1, 1])
    return cut_out(image * [1 + warmer, 1, 1 - warmer], image)


def jpeg(image: Pixels, quality: float, random: np.random.Generator) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=int(quality))
    return np.asarray(Image.open(file))


def scale(image: Pixels, factor: float, random: np.random.Generator) -> Pixels:
    """As a camera with fewer pixels has it."""
    height, width = (max(1, round(side / factor)) for side in image.shape[:2])
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))


def rotation(image: Pixels, degrees: float, random: np.random.Generator) -> Pixels:
    """To either side, and cut out anew as closely as before."""
    turned = Image.fromarray(image).rotate(degrees * random.choice([-1, 1]), Image.Resampling.BILINEAR, expand=True)
    return np.asarray(turned.crop(turned.getbbox()))


def padding(image: Pixels, grey: float, random: np.random.Generator) -> Pixels:
    return np.where(inside(image), image, np.uint8(grey))


CHANGES: dict[str, tuple[Change, str, tuple[float, ...]]] = {
    "blur": (blur, "sigma {:g} px", (1, 2, 4)),
    "noise": (noise, "sd {:g} of 255", (8, 16, 32)),
    "darker": (light, "times {:g}", (0.7, 0.5, 0.3)),
    "brighter": (light, "times {:g}", (1.15, 1.3, 1.5)),
    "white balance": (white_balance, "red and blue ± {:.0%}", (0.1, 0.2, 0.3)),
    "JPEG": (jpeg, "quality {:g}", (75, 40, 10)),
    "scale": (scale, "1/{:g} of the pixels a side", (2, 4, 6)),
    "rotation": (rotation, "{:g}°", (15, 30, 45)),
    "padding": (padding, "grey {:g}, not black", (64, 128, 255)),
}


def change_cell(change: str | None, strength: float, size: int, fit: str, name: str) -> Pixels:
    """One image of the archive, changed, as the network sees it; the same each time."""
    image = np.asarray(read_image(open_archive(ARCHIVE).read(name)).convert("RGB"))
    if change:
        image = CHANGES[change][0](image, strength, np.random.default_rng(zlib.crc32(name.encode())))
    return to_square(Image.fromarray(image), size, fit)


def predict(model: Classifier, cells: pd.DataFrame, change: str | None, strength: float) -> pd.DataFrame:
    """The cells of split.csv with probability and ood_score."""
    work = partial(change_cell, change, strength, model.card.size, model.card.fit)
    with ProcessPoolExecutor(count_cores()) as pool:
        changed = np.stack(list(pool.map(work, cells.name, chunksize=64)))
    return cells.reset_index(drop=True).join(model.judge(changed)[["probability", "ood_score"]])


def judge_change(model: Classifier, changed: pd.DataFrame, plain: pd.DataFrame) -> dict[str, float]:
    """Figures, the difference in accuracy from the images as they are with its interval, and the warnings."""
    card = model.card
    figures = dict(judge(changed, card.threshold)[FIGURES].iloc[0])
    gained = sum(sign * ((of.probability >= card.threshold) == of.label) for of, sign in ((changed, 1), (plain, -1)))
    draws = resample(changed, lambda weights: pd.DataFrame({"gained": weights @ gained / weights.sum(1)}))
    low, high = interval(draws.gained)
    warnings = judge_warnings(changed, card.threshold, card.doubt_margin, card.ood_limit)
    return figures | {"difference": gained.mean(), "difference_low": low, "difference_high": high} | warnings


def measure(name: str, cells: pd.DataFrame) -> pd.DataFrame:
    """A row for the images as they are, and one for each change at each strength."""
    model = load_model(name)
    plain = predict(model, cells, None, 0)
    rows = [{"model": name, "change": "none", "strength": ""} | judge_change(model, plain, plain)]
    for change, (_, words, strengths) in CHANGES.items():
        for strength in strengths:
            changed = predict(model, cells, change, strength)
            labels = {"model": name, "change": change, "strength": words.format(strength)}
            rows.append(labels | judge_change(model, changed, plain))
            print(*labels.values(), f"{rows[-1]['accuracy']:.4f}", flush=True)
    return pd.DataFrame(rows)


def read_table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path).fillna({"strength": ""})


def render(table: pd.DataFrame) -> str:
    """The short form in Markdown: a row a change and strength, the models side by side."""
    rows = []
    for (change, strength), of in table.groupby(["change", "strength"], sort=False):
        row = {"change": change, "strength": strength}
        for figures in of.to_dict("records"):
            bounds = f"[{100 * figures['difference_low']:+.1f}, {100 * figures['difference_high']:+.1f}]"
            short = {
                "accuracy %": f"{100 * figures['accuracy']:.1f}",
                "difference": "" if change == "none" else f"{100 * figures['difference']:+.1f} {bounds}",
                "sensitivity %": f"{100 * figures['sensitivity']:.1f}",
                "specificity %": f"{100 * figures['specificity']:.1f}",
                "ECE": f"{figures['ece']:.3f}",
                "unlike %": f"{100 * figures['unlike_rate']:.1f}",
            }
            row |= {f"{figures['model']}: {name}": value for name, value in short.items()}
        rows.append(row)
    return to_markdown(pd.DataFrame(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=["models"], metavar="MODEL")
    parser.add_argument("--split", choices=["val", "test"], default="test")
    options = parser.parse_args()
    prepare(0)
    split = pd.read_csv(SPLIT)
    cells = split[split.split == options.split]
    table = pd.concat([measure(name, cells) for name in options.models], ignore_index=True)
    if options.split == "test":
        table.to_csv(TABLE, index=False, float_format="%.5g", lineterminator="\n")
        table = read_table(TABLE)
        PAGE.write_text(publish("robustness", render(table), PAGE.read_text("utf-8")), "utf-8")
    print(render(table))


if __name__ == "__main__":
    main()
