"""A loaded model: images in, probabilities, predictions and warnings out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from malaria.core.errors import UserError
from malaria.data.decode import Pixels, check_colors, read_rgb, to_rgb
from malaria.evaluation.calibration import Beta, certainty
from malaria.evaluation.metrics import Array
from malaria.evaluation.model_card import ModelCard
from malaria.evaluation.ood import STATISTICS
from malaria.smear.crops import refuse_pair, refuse_photograph, to_cell

AnyImage = str | Path | bytes | Image.Image | Pixels  # a file, its bytes, a picture, or (H, W, 3) uint8 RGB


@dataclass(frozen=True)
class Classifier:
    """A model card, and functions of (N, size, size, 3) uint8 cells.

    `score` returns probabilities (N,) and the scores of the OOD statistics (N, 8); `explain`, where the model can,
    saliency maps (N, size, size) uint8.
    """

    card: ModelCard
    score: Callable[[Pixels], tuple[Array, Array]]
    explain: Callable[[Pixels], Pixels] | None = None

    def predict(self, images: Iterable[AnyImage], threshold: float | None = None) -> pd.DataFrame:
        """Predict images, a row each, in their order; columns as of `predict_cells`.

        Raises:
            ValueError: an image cannot be read; it is named, or its place in the list.
        """
        cells = [self._prepare(image, place) for place, image in enumerate(images)]
        size = self.card.size
        return self.predict_cells(np.stack(cells) if cells else np.zeros((0, size, size, 3), np.uint8), threshold)

    def predict_cells(self, cells: Pixels, threshold: float | None = None) -> pd.DataFrame:
        """Predict cells (N, size, size, 3) uint8, as of `malaria.smear.crops.decode`; columns as of `decide`."""
        return self.decide(*self.score(cells), threshold)

    def decide(self, probability: Array, scores: Array, threshold: float | None = None) -> pd.DataFrame:
        """The table of what `score` returned, at a threshold, or at the model's.

        The columns are probability (of Parasitized, calibrated), prediction (a class), uncertain (near the threshold),
        ood_score (1 is an outer quantile of the training cells), and ood: the image statistic that is most extreme
        where the cell is out of distribution, else empty.
        """
        threshold = self.card.threshold if threshold is None else threshold
        ood_score, extreme = scores.max(1), np.array(list(STATISTICS))[scores.argmax(1)]
        return pd.DataFrame(
            {
                "probability": probability.astype(float).round(6),
                "prediction": np.array(self.card.classes)[(probability >= threshold).astype(int)],
                "uncertain": certainty(probability, threshold) < self.card.margin(threshold),
                "ood_score": ood_score.astype(float).round(4),
                "ood": np.where(ood_score > self.card.ood_limit, extreme, ""),
            }
        )

    @property
    def points(self) -> dict[str, float]:
        """The thresholds by operating point, without those that val could not choose."""
        return {name: value for name, value in self.card.operating_points.items() if value is not None}

    def find_threshold(self, point: str) -> float:
        """The threshold of an operating point.

        Raises:
            UserError: the model has no such point.
        """
        if point not in self.points:
            raise UserError(f"{point}: no operating point of this model; it has {', '.join(self.points)}")
        return self.points[point]

    def find_error_rates(self, threshold: float | None = None) -> tuple[Beta | None, Beta | None]:
        """Sensitivity and specificity in a patient that the model has not seen, at a threshold or at the model's."""
        rates = self.card.error_rates
        return rates.at(self.card.threshold if threshold is None else threshold) if rates else (None, None)

    def _prepare(self, image: AnyImage, place: int) -> Pixels:
        try:
            if isinstance(image, str | Path | bytes):
                picture = read_rgb(image if isinstance(image, bytes) else Path(image).read_bytes())
            else:
                picture = to_rgb(Image.fromarray(image) if isinstance(image, np.ndarray) else image)
                check_colors(picture)
            refuse_photograph(picture)
            cell = to_cell(picture, self.card.preprocess)
            refuse_pair(picture, self.card.preprocess)
            return cell
        except (ValueError, TypeError, OSError) as error:
            name = image if isinstance(image, str | Path) else f"image {place}"
            raise ValueError(f"{name}: {error}") from None
