# SPDX-License-Identifier: Apache-2.0
"""What the figures of a workload shall be."""

import dataclasses
import statistics
from collections.abc import Callable, Sequence

from measurement import Contender, cpu_ratio, percentile, ratio


@dataclasses.dataclass(frozen=True)
class Goal:
    """Where a figure of those who have been measured shall be: at least at `limit`, or at most; anywhere if there is
    none."""
    text: str
    # None if someone it needs is missing.
    figure: Callable[[Sequence[Contender]], float | None]
    limit: float | None = None
    at_most: bool = False

    def line(self, workload: str, contenders: Sequence[Contender]) -> str | None:
        figure = self.figure(contenders)
        if figure is None:
            return None
        limit = "" if self.limit is None else f"{'<=' if self.at_most else '>='} {self.limit:6.2f}"
        return f"{workload:11} {self.text:64} {figure:8.2f} {limit}".rstrip()


def find(contenders: Sequence[Contender], name: str) -> Contender | None:
    return next((contender for contender in contenders if contender.name == name), None)


def _of_two(ours: str, peer: str, figure: Callable[[Contender, Contender], float]
            ) -> Callable[[Sequence[Contender]], float | None]:
    def of(contenders: Sequence[Contender]) -> float | None:
        a, b = find(contenders, ours), find(contenders, peer)
        return figure(a, b) if a and b else None
    return of


def as_fast(ours: str, peer: str, limit: float | None = None) -> Goal:
    """That one is at least so many times as fast, in bytes, as another."""
    return Goal(f"{ours} / {peer}", _of_two(ours, peer, ratio), limit)


def cpu_time(ours: str, peer: str, limit: float) -> Goal:
    """That one takes at most so many times the CPU time of another."""
    return Goal(f"CPU time: {ours} / {peer}", _of_two(ours, peer, cpu_ratio), limit, at_most=True)


def latency(ours: str, peer: str, share: float, limit: float | None = None) -> Goal:
    """That a percentile of one's latencies is at most so many times that of another's: the median over the rounds."""
    def figure(a: Contender, b: Contender) -> float:
        return statistics.median(percentile(x.latencies, share) / percentile(y.latencies, share)
                                 for x, y in zip(a.samples, b.samples, strict=True))
    return Goal(f"p{100 * share:.0f}: {ours} / {peer}", _of_two(ours, peer, figure), limit, at_most=True)


def of_the_best(ours: str, all_of_us: Sequence[str], limit: float, called: str = "these") -> Goal:
    """That one is at least so many times as fast as the fastest of several: the one with the best median."""
    def figure(contenders: Sequence[Contender]) -> float | None:
        mine = find(contenders, ours)
        others = [other for name in all_of_us if (other := find(contenders, name))]
        return ratio(mine, max(others, key=lambda other: other.size_bytes / other.median_seconds())) if mine else None
    return Goal(f"{ours} / the best of {called}", figure, limit)
