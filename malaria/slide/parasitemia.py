"""Parasitemia, the share of red cells that are infected, from cells called parasitized by a classifier that errs.

With a specificity of 97 % three cells of a hundred are called in a smear without a parasite. A share p of infected
cells is called at the rate q = p * sensitivity + (1 - p) * (1 - specificity), which Rogan and Gladen (1978,
doi:10.1093/oxfordjournals.aje.a112510) solve for p. Here p has a posterior distribution instead (Joseph, Gyorkos and
Coupal 1995, doi:10.1093/oxfordjournals.aje.a117428; Diggle 2011, doi:10.1155/2011/608719), since that estimate can be
negative, and sensitivity and specificity of this patient are known as Beta distributions only.

Prior: with probability 1/2 there is no parasite, and else p has a density of 1 / (2 sqrt(p)), Beta(1/2, 1). Near 0 that
is Jeffreys' prior, whose intervals cover about as often as they say, and little of it is spent on p near 1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import nan

import numpy as np

from malaria.evaluation.calibration import Beta
from malaria.evaluation.metrics import Array

LEVEL = 0.95
RED_CELLS = 5_000_000  # per microlitre of blood: an assumption, where no count is known
NO_PARASITE = 0.5  # prior probability
MOST_FIELDS = 1000  # photographs that `more_fields` may ask for
_SHRINKAGE = 4  # photographs without overdispersion that are added when it is estimated
_POINTS = 2048  # of the integration
_PLASTIC = 1.3247179572447460 ** -np.arange(1.0, 3)  # whose multiples, modulo 1, are even in a square
_TAIL = np.append(np.geomspace(1e-30, 1e-4, 20), np.geomspace(1.2e-4, 0.5, 60))  # levels of tabulated quantiles


@dataclass(frozen=True)
class Parasitemia:
    """The parasitemia of a group of photographs: shares of the red cells, NaN where undefined."""

    cells: int
    called: int
    parasitemia: float  # median of the posterior
    low: float  # of the interval of 95 %, which begins at 0 unless no parasite at all is improbable, below 5 %
    high: float
    any_parasite: float  # probability that there is any parasite
    more_fields: int | None  # photographs more, like these, that halve the interval; None where MOST_FIELDS do not


@dataclass(frozen=True)
class _Posterior:
    """The probability of no parasite, and given that there is one, the distribution of p."""

    none: float
    values: Array  # (N,) ascending
    cumulative: Array  # (N,) probability of p below each of them

    def quantile(self, level: float) -> float:
        return float(np.interp(level, self.cumulative, self.values))

    def median(self) -> float:
        """Of both: 0 where no parasite is more probable than any."""
        return 0.0 if self.none >= 0.5 else self.quantile((0.5 - self.none) / (1 - self.none))

    def interval(self) -> tuple[float, float]:
        """The shortest interval of LEVEL of the density, or from 0 where that cannot be excluded.

        Its end does not profit from the probability of no parasite: whoever doubts that prior can use it.
        """
        if self.none > 1 - LEVEL:
            return 0.0, self.quantile(LEVEL)
        starts = np.linspace(0, 1 - LEVEL, 101)
        lows, highs = (np.interp(levels, self.cumulative, self.values) for levels in (starts, starts + LEVEL))
        # the mean of all that are nearly the shortest, since which of them is the shortest is chance
        near = highs - lows <= 1.02 * (highs - lows).min()
        return float(lows[near].mean()), float(highs[near].mean())


def estimate_parasitemia(
    called: Array, cells: Array, sensitivity: Beta | None, specificity: Beta | None
) -> Parasitemia:
    """The parasitemia of one patient.

    Args:
        called: (G,) cells called parasitized in each photograph.
        cells: (G,) cells in each photograph.
        sensitivity: in a new patient, at the threshold used (`ErrorRates.at`); None where unknown.
        specificity: likewise.

    Returns:
        All but the counts is NaN or None where there is no cell, or an error rate is unknown.
    """
    called, cells = np.asarray(called, float), np.asarray(cells, float)
    total, hits = int(cells.sum()), int(called.sum())
    if not total or sensitivity is None or specificity is None:
        return Parasitemia(total, hits, nan, nan, nan, nan, None)
    effect = design_effect(called, cells)

    def posterior(times: float) -> _Posterior:
        return _find_posterior(hits * times / effect, total * times / effect, sensitivity, specificity)

    now = posterior(1)
    low, high = now.interval()
    more = _count_more_fields(posterior, high - low, int((cells > 0).sum()))
    return Parasitemia(total, hits, now.median(), low, high, 1 - now.none, more)


def per_microlitre(parasitemia: float, red_cells: float = RED_CELLS) -> float:
    """Infected cells per microlitre of blood with so many red cells."""
    return parasitemia * red_cells


def design_effect(called: Array, cells: Array) -> float:
    """How many times the variance of (G,) counts of photographs is that of binomial ones, at least 1.

    Pearson's statistic over its degrees of freedom (McCullagh and Nelder, Generalized Linear Models, 1989, section
    4.5), shrunk towards 1, since that of few photographs is nearly all chance.
    """
    rate = called.sum() / cells.sum()
    if not 0 < rate < 1:
        return 1.0
    expected = (cells * rate)[cells > 0]
    pearson = ((called[cells > 0] - expected) ** 2 / (expected * (1 - rate))).sum()
    return max(1.0, float((_SHRINKAGE + pearson) / (_SHRINKAGE + len(expected) - 1)))


def _find_posterior(called: float, cells: float, sensitivity: Beta, specificity: Beta) -> _Posterior:
    """Integrated over fixed points that fill a cube evenly: no random numbers.

    Its axes are not p, sensitivity and specificity, of which few would agree with the counts, but the rate at which
    cells are called, and then false positives more rare, and misses more rare, than that rate allows: a classifier
    worse than chance, to which all infected looks like none, is left out. Each point is a p.
    """
    from scipy.special import betaln  # takes a while to import

    number = np.arange(_POINTS) + 0.5
    levels = np.stack([number / _POINTS, *np.outer(_PLASTIC, number) % 1])
    counts = called, cells - called
    rates, logs = _propose_rates(counts, sensitivity, specificity, levels[0])
    # evenly in the root of the distance, in which the prior's density, infinite at p = 0, is finite
    false, log_false = _find_below(specificity[::-1], rates, 1 - levels[1] ** 2)
    miss, log_miss = _find_below(sensitivity[::-1], 1 - rates, levels[2])
    slope = np.maximum(1 - miss - false, 1e-15)
    values = ((rates - false) / slope).clip(1e-15, 1)
    logs += log_false + log_miss + np.log(levels[1] / (np.sqrt(values) * slope))
    weights, order = np.exp(logs - logs.max()), np.argsort(values)
    log_none = betaln(specificity[1] + counts[0], specificity[0] + counts[1]) - betaln(*specificity)
    odds = np.exp(np.clip(logs.max() + np.log(weights.mean()) - log_none, -700, 700)) * (1 - NO_PARASITE) / NO_PARASITE
    cumulative = weights[order].cumsum() - weights[order] / 2
    return _Posterior(float(1 / (1 + odds)), values[order], cumulative / weights.sum())


def _propose_rates(counts: Beta, sensitivity: Beta, specificity: Beta, levels: Array) -> tuple[Array, Array]:
    """Rates (N,) at which cells are called, and the logarithms of their likelihood over the density proposed.

    A third is as the counts alone say, a third as with specificity if no cell is infected, a third as with sensitivity
    if all are: with one of them alone there were few where counts contradict what is expected of the classifier.
    """
    from scipy.special import betaln

    called, other = counts
    added = (1.0, 1.0), specificity[::-1], sensitivity
    betas = [(called + alpha, other + beta) for alpha, beta in added]
    everywhere = np.ones_like(levels)
    proposed = [_find_below(beta, everywhere, 3 * levels % 1)[0] for beta in betas]
    rates = np.choose((3 * levels).astype(int), proposed).clip(1e-15, 1 - 1e-15)
    densities = [  # over the likelihood
        (alpha - 1) * np.log(rates) + (beta - 1) * np.log1p(-rates) - betaln(called + alpha, other + beta)
        for alpha, beta in added
    ]
    return rates, np.log(3) - np.logaddexp.reduce(densities)


def _find_below(rate: Beta, limits: Array, levels: Array) -> tuple[Array, Array]:
    """Quantiles (N,) of a Beta distribution cut off at limits (N,), and the log probability of being below these."""
    log_levels, log_values = _tabulate(*rate)
    # below the table the probability is a power, alpha, of the value
    log_limits = np.log(limits)
    below = np.interp(log_limits, log_values, log_levels) + rate[0] * np.minimum(log_limits - log_values[0], 0)
    log_levels_below = below + np.log(levels)
    log_quantiles = np.interp(log_levels_below, log_levels, log_values)
    return np.exp(log_quantiles + np.minimum(log_levels_below - log_levels[0], 0) / rate[0]), below


@lru_cache
def _tabulate(alpha: float, beta: float) -> tuple[Array, Array]:
    """Logarithms of levels and of the quantiles of a Beta distribution, both ascending: of its tails too."""
    from scipy.special import betaincinv

    levels = np.append(_TAIL, 1 - _TAIL[-2::-1])
    values = np.append(betaincinv(alpha, beta, _TAIL), 1 - betaincinv(beta, alpha, _TAIL[-2::-1]))
    return np.log(levels), np.log(values.clip(1e-300))


def _count_more_fields(posterior: Callable[[float], _Posterior], width: float, fields: int) -> int | None:
    """The fewest photographs more, by bisection, with which the interval has half the width."""

    def halves(more: int) -> bool:
        low, high = posterior(1 + more / fields).interval()
        return high - low <= width / 2

    if not halves(MOST_FIELDS):
        return None
    few, enough = 0, MOST_FIELDS
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (few, middle) if halves(middle) else (middle, enough)
    return enough
