"""A trained model ready to use: images in, probabilities and warnings out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from malaria.calibration import certainty
from malaria.errors import UserError
from malaria.images import Pixels, decode, to_square
from malaria.metrics import Array
from malaria.model_card import ModelCard
from malaria.traits import TRAITS

AnyImage = str | Path | bytes | Image.Image | Pixels  # a file, its bytes, a picture, or (H, W, 3) uint8 RGB


@dataclass(frozen=True)
class Classifier:
    """What `load_model` gives: a model card, and functions of (N, size, size, 3) uint8 cells.

    `score` gives probabilities (N,) and deviations from the usual (N, 9); `explain`, where the model can, how much each
    pixel speaks for a parasite, (N, size, size) uint8.
    """

    card: ModelCard
    score: Callable[[Pixels], tuple[Array, Array]]
    explain: Callable[[Pixels], Pixels] | None = None

    def predict(self, images: Iterable[AnyImage], threshold: float | None = None) -> pd.DataFrame:
        """What is said of each image, a row each, in their order; columns as `judge` gives them.

        Raises:
            ValueError: an image cannot be read; it is named, or its place in the list told.
        """
        cells = [self._prepare(image, place) for place, image in enumerate(images)]
        size = self.card.size
        return self.judge(np.stack(cells) if cells else np.zeros((0, size, size, 3), np.uint8), threshold)

    def judge(self, cells: Pixels, threshold: float | None = None) -> pd.DataFrame:
        """The same of cells (N, size, size, 3) uint8 as `malaria.images` makes them.

        The columns are probability (of a parasite, calibrated), decision (one of the classes, from the threshold, the
        card's if none is given), doubtful (too near the threshold to call), unlikeness (0 for a cell as the median of
        the training, 1 at the end of what is usual there), and unlike: the trait that is farthest off, where the cell
        is too unlike those of the training to be judged, else empty.
        """
        return self.decide(*self.score(cells), threshold)

    def decide(self, probability: Array, deviations: Array, threshold: float | None = None) -> pd.DataFrame:
        """The same of what `score` gave: another threshold needs no other look at the cells."""
        threshold = self.card.threshold if threshold is None else threshold
        unlikeness, farthest = deviations.max(1), np.array(list(TRAITS))[deviations.argmax(1)]
        return pd.DataFrame(
            {
                "probability": probability.astype(float).round(6),
                "decision": np.array(self.card.classes)[(probability >= threshold).astype(int)],
                "doubtful": certainty(probability, threshold) < self.card.doubt_margin,
                "unlikeness": unlikeness.astype(float).round(4),
                "unlike": np.where(unlikeness > self.card.unlike_above, farthest, ""),
            }
        )

    @property
    def points(self) -> dict[str, float]:
        """The thresholds of the operating points that val could choose, by name."""
        return {name: value for name, value in self.card.operating_points.items() if value is not None}

    def find_threshold(self, point: str) -> float:
        """The threshold of an operating point.

        Raises:
            UserError: the model has no such point.
        """
        if point not in self.points:
            raise UserError(f"{point}: no operating point of this model; it has {', '.join(self.points)}")
        return self.points[point]

    def _prepare(self, image: AnyImage, place: int) -> Pixels:
        try:
            if isinstance(image, str | Path | bytes):
                data = image if isinstance(image, bytes) else Path(image).read_bytes()
                return decode(data, self.card.size, self.card.fit)
            picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
            return to_square(picture, self.card.size, self.card.fit)
        except (ValueError, TypeError, OSError) as error:
            name = image if isinstance(image, str | Path) else f"image {place}"
            raise ValueError(f"{name}: {error}") from None
