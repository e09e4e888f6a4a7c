"""A share of cells with its confidence interval."""

from dataclasses import dataclass
from math import nan, sqrt

Z = 1.959964  # of the normal distribution, for 95 %


@dataclass(frozen=True)
class Proportion:
    """`count` of `n` cells: the share, and its 95 % interval; NaN where n is 0."""

    count: int
    n: int
    value: float
    low: float
    high: float


def measure_proportion(count: int, n: int) -> Proportion:
    """The share with the score interval of Wilson (JASA 22:209, 1927, doi:10.1080/01621459.1927.10502953).

    It takes cells as independent: for cells of few patients it is too narrow.
    """
    if n == 0:
        return Proportion(count, n, nan, nan, nan)
    share = count / n
    center, half = (share + Z**2 / (2 * n)) / (1 + Z**2 / n), half_width(share, n)
    return Proportion(count, n, share, min(center - half, share), max(center + half, share))  # equal but for rounding


def half_width(share: float, n: int) -> float:
    """Half of the width of Wilson's interval, where a share of n cells is found; NaN where n is 0."""
    return Z / (1 + Z**2 / n) * sqrt(share * (1 - share) / n + Z**2 / (4 * n**2)) if n else nan
