"""Are images that show no single cell found? `uv run python bench/ood.py` writes it into docs/RESULTS.md.

Gives the model images that show none of its cells: photographs, noise, and cells of the test set changed in ways that
the image statistics of malaria/evaluation/ood.py may notice or not. Counts how many of each `malaria predict` refuses
before it looks at them; how many are out of distribution by these statistics, and for comparison by the network's own
features (Mahalanobis distance, Lee et al., NeurIPS 2018), either with the limit above which 1 % of val's cells are; and
how many of the test cells as they are, the false alarms.
"""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from PIL import Image
from sklearn.covariance import EmpiricalCovariance
from sklearn.datasets import load_sample_images
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad
from torchvision.transforms.v2.functional import gaussian_blur

from bench.results import to_markdown, write_down
from malaria.data.decode import check_colors, read_image, to_square
from malaria.data.index import read_index
from malaria.evaluation.metrics import Array
from malaria.evaluation.model_card import read_card
from malaria.evaluation.ood import OODScore
from malaria.model.dataset import load_cells, to_floats
from malaria.model.hardware import prepare
from malaria.model.network import find_head
from malaria.model.weights import read_model
from malaria.smear.mask import is_cut_out, is_one_body, is_pair
from malaria.sources.drawing.sets import draw_cells

SAMPLE = 1000  # of the test cells, and as many of each other kind of image


def photographs(number: int, size: int) -> Tensor:
    """Squares cut from those that come with scikit-learn and matplotlib."""
    folder = Path(mpl.get_data_path()) / "sample_data"
    pictures = [Image.fromarray(image) for image in load_sample_images().images]
    pictures += [Image.open(path).convert("RGB") for path in sorted(folder.glob("*.jpg"))]
    random = np.random.default_rng(0)
    squares = []
    for _ in range(number):
        picture = pictures[random.integers(len(pictures))]
        side = int(random.integers(60, min(picture.size)))
        x, y = random.integers(0, picture.width - side), random.integers(0, picture.height - side)
        squares.append(to_square(picture.crop((x, y, x + side, y + side)), size, "stretch"))
    return torch.from_numpy(np.stack(squares))


def draw(size: int) -> Tensor:
    drawn = draw_cells(patients=40, cells=SAMPLE, seed=0, workers=1)
    return torch.from_numpy(np.stack([to_square(read_image(png), size, "stretch") for _, png in drawn]))


def inside(cells: Tensor) -> Tensor:
    return cells.amax(3, keepdim=True) > 0


def resize(cells: Tensor, side: int) -> Tensor:
    return interpolate(cells.permute(0, 3, 1, 2).float(), side, mode="bilinear").permute(0, 2, 3, 1).byte()


def mark_nucleus(size: int) -> Tensor:
    """Where a round nucleus of half the diameter lies, (size, size, 1)."""
    places = (torch.arange(size) + 0.5) / size - 0.5
    return (places[:, None].square() + places.square() < 0.25**2)[..., None]


def blend(cells: Tensor, nucleus: Tensor) -> Tensor:
    """Cells with a violet nucleus: a share of red, green and blue is left."""
    return torch.where(nucleus, (cells * torch.tensor([0.6, 0.4, 0.8])).byte(), cells)


def touch(cells: Tensor) -> Tensor:
    """Each cell with the next one, turned at random, overlapping by a tenth of the side."""
    random, size = np.random.default_rng(0), cells.shape[1]
    overlap = size // 10
    pairs = []
    for one, other in zip(cells, cells.roll(1, 0), strict=True):
        both = torch.zeros(size, 2 * size - overlap, 3, dtype=torch.uint8)
        both[:, :size] = one
        both[:, size - overlap :] = torch.where(inside(other[None])[0], other, both[:, size - overlap :])
        turned = Image.fromarray(both.numpy()).rotate(random.uniform(0, 180), Image.Resampling.BILINEAR, expand=True)
        pairs.append(to_square(turned.crop(turned.getbbox()), size, "stretch"))
    return torch.from_numpy(np.stack(pairs))


def is_refused(cell: Array) -> bool:
    """Whether `malaria predict` has no prediction for a crop (size, size, 3)."""
    image = Image.fromarray(cell)
    try:
        check_colors(image)
    except ValueError:
        return True
    return is_cut_out(image) and (not is_one_body(image) or is_pair(image))


def make_others(cells: Tensor) -> dict[str, Tensor]:
    """Images by kind, each (N, size, size, 3) uint8; most are made of (N, size, size, 3) cells."""
    size = cells.shape[1]
    random = torch.Generator().manual_seed(0)
    photos = photographs(len(cells), size)
    quarter, small = size // 4, size // 3
    margins = [(size - small) // 2, size - small - (size - small) // 2]
    return {
        "photographs": photos,
        "photographs cut out as cells are": photos * inside(cells),
        "noise": torch.randint(0, 256, cells.shape, generator=random, dtype=torch.uint8),
        "one colour": torch.randint(0, 256, (len(cells), 1, 1, 3), generator=random).byte().expand_as(cells),
        "cells on a light ground, not black": torch.where(inside(cells), cells, 225),
        "the middle of a cell": resize(cells[:, quarter:-quarter, quarter:-quarter], size),
        "a small cell in much black": pad(resize(cells, small), (0, 0, *margins, *margins)),
        "negatives": 255 - cells,
        "too dark (times 0.4)": (cells * 0.4).byte(),
        "out of focus (sigma 4 px of 64)": gaussian_blur(cells.permute(0, 3, 1, 2), 25, 4.0).permute(0, 2, 3, 1),
        "red and blue exchanged": cells.flip(3),
        "grey": cells.float().mean(3, keepdim=True).byte().expand_as(cells),
        "a nucleus in the cell": blend(cells, mark_nucleus(size)),
        "two cells that touch": touch(cells),
        "two half cells": torch.cat([cells[:, :, ::2], cells.flip(0)[:, :, ::2]], 2),
        "drawn cells": draw(size),
    }


@torch.inference_mode()
def find_features(model: nn.Module, cells: Tensor) -> Array:
    """What goes into the last layer, (N, features)."""
    features: list[Tensor] = []
    hook = find_head(model)[1].register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    for part in torch.split(cells, 256):
        model(to_floats(part))
    hook.remove()
    return torch.cat(features).double().numpy()


@torch.inference_mode()
def measure() -> pd.DataFrame:
    """A row a kind of image, with the percentage that is out of distribution by either method."""
    model, config = read_model(Path("models/model.safetensors"))
    model.eval()
    card = read_card(Path("models/model.json").read_bytes())
    split = read_index(Path("data/split.csv"))
    cells = load_cells(Path("data/cells.npy"), split, torch.device("cpu"), config.size)
    train, val, test = (cells.pixels[cells.rows[name]] for name in ("train", "val", "test"))
    score, covariance = OODScore(card.reference_quantiles), EmpiricalCovariance().fit(find_features(model, train))
    limit = np.quantile(covariance.mahalanobis(find_features(model, val)), 0.99)
    sample = test[torch.randperm(len(test), generator=torch.Generator().manual_seed(0))[:SAMPLE]]
    rows = []
    for kind, images in {"test cells, as they are": test, **make_others(sample)}.items():
        scores = torch.cat([score(to_floats(part)).amax(1) for part in torch.split(images, 256)])
        found = {
            "refused %": np.array([is_refused(image) for image in images.numpy()]),
            "image statistics %": scores.numpy() > card.ood_limit,
            "network features %": covariance.mahalanobis(find_features(model, images)) > limit,
        }
        rows.append({"images": kind, "number": len(images)} | {way: 100 * of.mean() for way, of in found.items()})
    return pd.DataFrame(rows).round(1)


def render(table: pd.DataFrame) -> str:
    """The table in Markdown."""
    shares = {name: table[name].map("{:.1f}".format) for name in table.columns if name.endswith("%")}
    return to_markdown(table.assign(**shares))


def main() -> None:
    prepare(0)
    write_down("ood", measure(), render)


if __name__ == "__main__":
    main()
