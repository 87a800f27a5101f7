# SPDX-License-Identifier: Apache-2.0
"""The goals of a workload: figures and their limits."""

import dataclasses
import statistics
from collections.abc import Callable, Sequence

from measurement import Contender, cpu_ratio, percentile, ratio


@dataclasses.dataclass(frozen=True)
class Goal:
    """A figure of the measured contenders and its limit, a minimum or, with `at_most`, a maximum. The limit is optional."""
    text: str
    # Returns None if a contender that it needs is missing.
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
    """Requires that `ours` has at least `limit` times the rate of `peer`."""
    return Goal(f"{ours} / {peer}", _of_two(ours, peer, ratio), limit)


def cpu_time(ours: str, peer: str, limit: float) -> Goal:
    """Requires that `ours` takes at most `limit` times the CPU time of `peer`."""
    return Goal(f"CPU time: {ours} / {peer}", _of_two(ours, peer, cpu_ratio), limit, at_most=True)


def latency(ours: str, peer: str, share: float, limit: float | None = None) -> Goal:
    """Requires that a percentile of the latencies of `ours` is at most `limit` times that of `peer`. Compares in each
    round and takes the median."""
    def figure(a: Contender, b: Contender) -> float:
        return statistics.median(percentile(x.latencies, share) / percentile(y.latencies, share)
                                 for x, y in zip(a.samples, b.samples, strict=True))
    return Goal(f"p{100 * share:.0f}: {ours} / {peer}", _of_two(ours, peer, figure), limit, at_most=True)


def of_the_best(ours: str, all_of_us: Sequence[str], limit: float, called: str = "these") -> Goal:
    """Requires that `ours` has at least `limit` times the rate of the fastest of several, by their medians."""
    def figure(contenders: Sequence[Contender]) -> float | None:
        mine = find(contenders, ours)
        others = [other for name in all_of_us if (other := find(contenders, name))]
        return ratio(mine, max(others, key=lambda other: other.size_bytes / other.median_seconds())) if mine else None
    return Goal(f"{ours} / the best of {called}", figure, limit)
