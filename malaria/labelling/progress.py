"""The accuracy of the model so far, from cells that were chosen at random.

Cells chosen for being uncertain, or clicked by a person, are no sample of the cells: on them accuracy is mostly lower.
"""

from dataclasses import dataclass

import numpy as np

from malaria.evaluation.metrics import Array
from malaria.labelling.proportion import Proportion, half_width, measure_proportion

MORE = 25  # random labels
WORTH = 1.0  # percentage points by which MORE labels should narrow the interval


@dataclass(frozen=True)
class Progress:
    """Shares of the random cells that were predicted right: of all, of the parasitized, and of the uninfected ones."""

    accuracy: Proportion
    sensitivity: Proportion
    specificity: Proportion

    def gain_of(self, more: int) -> float:
        """By how many percentage points more random labels would narrow the half-width of the interval of accuracy.

        It is what to expect if the accuracy stays the same; NaN without a label.
        """
        share, n = self.accuracy.value, self.accuracy.n
        return 100 * (half_width(share, n) - half_width(share, n + more))

    @property
    def enough(self) -> bool:
        """Whether MORE random labels would narrow the half-width by less than WORTH; not without a label."""
        return self.gain_of(MORE) < WORTH


def measure_progress(labels: Array, predictions: Array) -> Progress:
    """Compare the labels (n,) of the random cells with the predictions (n,), both 0 or 1.

    Cells that were set aside have no label, and are left out of both.
    """
    right, positive = labels == predictions, labels == 1
    return Progress(*(_share(right[cells]) for cells in (np.full(len(labels), True), positive, ~positive)))


def _share(right: Array) -> Proportion:
    return measure_proportion(int(right.sum()), len(right))
