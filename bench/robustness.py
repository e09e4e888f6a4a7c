"""How much does it take to mislead a model? `uv run python bench/robustness.py [MODEL...]` writes it down.

Changes the images of the test set as microscopes, cameras and other programs might, in ten ways, most of them at three
strengths, and evaluates the predictions of each model (a folder or revision, as for `malaria predict`; default:
models), at its own threshold, beside those of the images as they are. Writes docs/results/robustness.csv, all metrics,
and its short form into docs/RESULTS.md; of val (`--split val`), where to choose, it only prints.
"""

import argparse
import io
import zlib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from scipy.ndimage import gaussian_filter

from bench.results import to_markdown, write_down
from malaria import load_model
from malaria.core.archive import open_archive
from malaria.core.workers import count_cores, start_pool
from malaria.data.decode import Pixels, read_image
from malaria.data.index import read_index
from malaria.evaluation.bootstrap import interval, resample
from malaria.evaluation.metrics import compute_metrics
from malaria.model.hardware import prepare
from malaria.params import Preprocess
from malaria.predict.classifier import Classifier
from malaria.smear.crops import to_cell

ARCHIVE, SPLIT = Path("data/cells.zip"), Path("data/split.csv")
METRICS = ["accuracy", "sensitivity", "specificity", "roc_auc", "brier", "ece"]

Change = Callable[[Pixels, float, np.random.Generator], Pixels]
Map = Callable[[Callable[[str], Pixels], Iterable[str]], Iterable[Pixels]]  # over processes, or the builtin one


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


def exchange(image: Pixels, strength: float, random: np.random.Generator) -> Pixels:
    """Red for blue, as where OpenCV's order of channels is taken for RGB."""
    return np.ascontiguousarray(image[..., ::-1])


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
    "channels": (exchange, "red and blue exchanged", (1,)),
    "JPEG": (jpeg, "quality {:g}", (75, 40, 10)),
    "scale": (scale, "1/{:g} of the pixels a side", (2, 4, 6)),
    "rotation": (rotation, "{:g}°", (15, 30, 45)),
    "padding": (padding, "grey {:g}, not black", (64, 128, 255)),
}


def change_cell(archive: Path, change: str | None, strength: float, how: Preprocess, name: str) -> Pixels:
    """One image of the archive, changed, as the network sees it; the same each time."""
    image = np.asarray(read_image(open_archive(archive).read(name)).convert("RGB"))
    if change:
        image = CHANGES[change][0](image, strength, np.random.default_rng(zlib.crc32(name.encode())))
    return to_cell(Image.fromarray(image), how)


def predict(
    model: Classifier, archive: Path, cells: pd.DataFrame, run: Map, change: str | None, strength: float
) -> pd.DataFrame:
    """The cells with the columns of `Classifier.decide`, and whether the prediction is correct."""
    how = model.card.preprocess.model_copy(update={"unsegmented": "keep"})  # each change has all cells
    work = partial(change_cell, archive, change, strength, how)
    table = cells.reset_index(drop=True).join(model.predict_cells(np.stack(list(run(work, cells.name)))))
    return table.assign(correct=(table.probability >= model.card.threshold) == (table.label == 1))


def evaluate(changed: pd.DataFrame, plain: pd.DataFrame, threshold: float) -> dict[str, float]:
    """METRICS, the difference in accuracy from the images as they are with its interval, and the warnings."""
    gained = changed.correct.astype(int) - plain.correct
    draws = resample(changed, lambda weights: pd.DataFrame({"gained": weights @ gained / weights.sum(1)}))
    low, high = interval(draws.gained)
    ood = changed.ood != ""
    return {
        **compute_metrics(changed, threshold)[METRICS].iloc[0],
        **{"difference": gained.mean(), "difference_low": low, "difference_high": high},
        **{"uncertain_rate": changed.uncertain.mean(), "ood_rate": ood.mean()},
        "accuracy_without_warnings": changed.correct[~changed.uncertain & ~ood].mean(),
    }


def measure(name: str, archive: Path, cells: pd.DataFrame, run: Map) -> pd.DataFrame:
    """A row for the images as they are, and one for each change at each strength."""
    model = load_model(name)
    plain = predict(model, archive, cells, run, None, 0)
    rows = [{"model": name, "change": "none", "strength": ""} | evaluate(plain, plain, model.card.threshold)]
    for change, (_, words, strengths) in CHANGES.items():
        for strength in strengths:
            changed = predict(model, archive, cells, run, change, strength)
            labels = {"model": name, "change": change, "strength": words.format(strength)}
            rows.append(labels | evaluate(changed, plain, model.card.threshold))
            print(*labels.values(), f"{rows[-1]['accuracy']:.4f}", flush=True)
    return pd.DataFrame(rows)


def render(table: pd.DataFrame) -> str:
    """The short form in Markdown: a row a change and strength, the models side by side."""
    rows = []
    for (change, strength), models in table.groupby(["change", "strength"], sort=False):
        row = {"change": change, "strength": strength}
        for of in models.to_dict("records"):
            bounds = f"[{100 * of['difference_low']:+.1f}, {100 * of['difference_high']:+.1f}]"
            short = {
                "accuracy %": f"{100 * of['accuracy']:.1f}",
                "difference": "" if change == "none" else f"{100 * of['difference']:+.1f} {bounds}",
                "sensitivity %": f"{100 * of['sensitivity']:.1f}",
                "specificity %": f"{100 * of['specificity']:.1f}",
                "ECE": f"{of['ece']:.3f}",
                "OOD %": f"{100 * of['ood_rate']:.1f}",
            }
            row |= {f"{of['model']}: {name}": value for name, value in short.items()}
        rows.append(row)
    return to_markdown(pd.DataFrame(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=["models"], metavar="MODEL")
    parser.add_argument("--split", choices=["val", "test"], default="test")
    options = parser.parse_args()
    prepare(0)
    split = read_index(SPLIT)
    cells = split[split.split == options.split]
    with start_pool(count_cores()) as pool:
        run = partial(pool.map, chunksize=64)
        table = pd.concat([measure(name, ARCHIVE, cells, run) for name in options.models], ignore_index=True)
    if options.split == "test":
        write_down("robustness", table, render)
    else:
        print(render(table))


if __name__ == "__main__":
    main()
