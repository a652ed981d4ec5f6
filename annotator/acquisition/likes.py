"""More of what is hard: beside a strategy's picks, the frames nearest to those that somebody tagged (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from annotator.acquisition.pool import Indices, Pick, Pool
from annotator.acquisition.strategies import Strategy, Wish

LIKE_SHARE = 0.25  # of all picks, at most: what people find hard is not all that there is to learn


def with_likes(pool: Pool, hard: Mapping[int, str], wish: Wish, strategy: Strategy) -> tuple[Pick, ...]:
    """A strategy's picks, and a share of frames like the hard ones. hard: row of the pool -> the frame's name.

    The strategy picks first, from all candidates, so that what it says of them holds; then each hard frame by turns
    takes the nearest that is left.
    """
    rows = [row for row in sorted(hard) if not pool.held_out[row]]
    wanted = min(int(wish.count * LIKE_SHARE), len(pool.candidates)) if rows else 0
    picks = strategy(pool, replace(wish, count=wish.count - wanted)) if wish.count > wanted else ()
    left = np.setdiff1d(pool.candidates, [pick.index for pick in picks])
    likes = zip(range(wanted), _nearest_by_turns(pool, rows, left), strict=False)
    return (*picks, *(_pick(hard[row], index, distance) for _, (row, index, distance) in likes))


def _nearest_by_turns(pool: Pool, rows: list[int], left: Indices) -> Iterator[tuple[int, int, float]]:
    """Hard row, candidate, and how far apart they are, until all candidates are taken."""
    ways = {row: np.linalg.norm(pool.embeddings[left] - pool.embeddings[row], axis=1) for row in rows}
    orders = {row: iter(np.argsort(way, kind="stable").tolist()) for row, way in ways.items()}
    taken: set[int] = set()
    while len(taken) < len(left):
        for row in rows:
            place = next((place for place in orders[row] if place not in taken), None)
            if place is not None:
                taken.add(place)
                yield row, int(left[place]), float(ways[row][place])


def _pick(name: str, index: int, distance: float) -> Pick:
    return Pick(index, f"like: {distance:.2f} from {name}, which somebody tagged hard", {"distance": distance})
