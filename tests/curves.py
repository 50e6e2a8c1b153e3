"""How well time tells two kinds of answers apart: areas under the curve, where guessing has 0.5."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence


def best_threshold(ones: Sequence[float], others: Sequence[float]) -> float:
    """Return the area under the curve of the best single threshold: half the sum of its two rates of being right."""
    ones, others = sorted(ones), sorted(others)
    apart = (
        abs(bisect_right(ones, at) / len(ones) - bisect_right(others, at) / len(others)) for at in (*ones, *others)
    )
    return 0.5 + max(apart) / 2


def rank(ones: Sequence[float], others: Sequence[float]) -> float:
    """Return the area under the whole curve: how probably one takes longer than another, or the other way round."""
    others = sorted(others)
    wins = sum(bisect_left(others, one) + bisect_right(others, one) for one in ones) / (2 * len(ones) * len(others))
    return max(wins, 1 - wins)
