"""A pool -> the frames that are worth a person's time, each with its reason (pure, deterministic)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from annotator.acquisition.core_set import k_centres
from annotator.acquisition.pool import SIGNALS, Floats, Indices, Pick, Pool
from annotator.errors import AnnotatorError

UNIFORM_SHARE = 0.2  # of what hybrid takes
SHORTLIST = 5  # times the wanted number: of so many uncertain frames hybrid takes the most diverse
DOUBTS = ("peaks", "flip", "shift", "jump")  # of one model
DISAGREEMENTS = ("models", "detector")  # of two; the first that there is
_TOLD = 0.5  # a reason names the signals that are above this share of the frames, or else the highest


@dataclass(frozen=True)
class Wish:
    """How many frames, and another seed for another choice. uniform_share: of `hybrid` alone."""

    count: int
    seed: int = 0
    uniform_share: float = UNIFORM_SHARE


Strategy = Callable[[Pool, Wish], tuple[Pick, ...]]


def uniform(pool: Pool, wish: Wish) -> tuple[Pick, ...]:
    """Any frame as likely as any other: what is measured on these holds for all frames that might be selected."""
    candidates = pool.candidates
    count = min(wish.count, len(candidates))
    drawn = np.random.default_rng(wish.seed).choice(candidates, count, replace=False)
    reason = f"uniform: drawn by lot, {count} of {len(candidates)} frames"
    return tuple(Pick(int(index), reason, {"inclusion_probability": count / len(candidates)}) for index in drawn)


def diverse(pool: Pool, wish: Wish) -> tuple[Pick, ...]:
    """The frames that are least like what is labelled and like each other: a core set of the embeddings."""
    return _spread(pool, wish, pool.candidates, np.flatnonzero(pool.labelled & ~pool.held_out))


def uncertain(pool: Pool, wish: Wish) -> tuple[Pick, ...]:
    """The frames of which the model is least sure, by the mean of their ranks over all signals of doubt."""
    return _least_sure(pool, wish, _known(pool, DOUBTS, "uncertain"), pool.candidates, "uncertain")


def disagreement(pool: Pool, wish: Wish) -> tuple[Pick, ...]:
    """The frames on which two models, or else the detector and the pose model, agree least."""
    signals = _known(pool, DISAGREEMENTS, "disagreement")[:1]
    return _least_sure(pool, wish, signals, pool.candidates, "disagreement")


def hybrid(pool: Pool, wish: Wish) -> tuple[Pick, ...]:
    """A uniform share, drawn first and from all; then of the least sure frames those that are most diverse.

    The shortlist of doubtful frames is Zhdanov's (2019, arXiv 1901.05954) prefilter, at most half of all candidates.
    A second model's disagreement, where there is one, is a signal like the others.
    """
    count = min(wish.count, len(pool.candidates))
    drawn = uniform(pool, replace(wish, count=round(count * wish.uniform_share)))
    taken = np.array([pick.index for pick in drawn], np.intp)
    rest = np.setdiff1d(pool.candidates, taken, assume_unique=True)
    wanted = replace(wish, count=count - len(drawn))
    signals = _known(pool, (*DOUBTS, "models"), "hybrid")
    length = max(wanted.count, min(SHORTLIST * wanted.count, len(pool.candidates) // 2))
    doubtful = _least_sure(pool, replace(wish, count=length), signals, rest, "uncertain")
    listed = {pick.index: pick for pick in doubtful}
    centres = np.concatenate([np.flatnonzero(pool.labelled & ~pool.held_out), taken])
    spread = _spread(pool, wanted, np.array(sorted(listed), np.intp), centres)
    chosen = [_both(listed[pick.index], pick) for pick in spread]
    return (*sorted(chosen, key=lambda pick: -pick.figures["uncertainty"]), *drawn)


STRATEGIES: dict[str, Strategy] = {
    "hybrid": hybrid,
    "uncertain": uncertain,
    "disagreement": disagreement,
    "diverse": diverse,
    "uniform": uniform,
}


def ranks(values: Floats) -> Floats:
    """(n,) the share of the values that are lower, 0 to 1; NaN stays NaN, and counts nowhere."""
    known = np.sort(values[~np.isnan(values)])
    lower = np.searchsorted(known, values) / max(1, len(known))
    return np.where(np.isnan(values), np.nan, lower)


def _known(pool: Pool, names: Sequence[str], strategy: str) -> list[str]:
    """The names of those signals that say something of some candidate. Raises AnnotatorError where none does."""
    candidates = pool.candidates
    known = [name for name in names if name in pool.signals and not np.isnan(pool.signals[name][candidates]).all()]
    if not known and len(candidates):
        raise AnnotatorError(
            f"{strategy}: got none of the signals {', '.join(names)} for any of {len(candidates)} frames, expected at "
            "least one; they need a top-down pose model, another model (--against), or frames of one video less than "
            "half a second apart. The strategies diverse and uniform need none"
        )
    return known


def _least_sure(pool: Pool, wish: Wish, signals: Sequence[str], among: Indices, strategy: str) -> tuple[Pick, ...]:
    """The best of `among`, which is ranked against all candidates; ties are broken by lot."""
    candidates = pool.candidates
    shares = np.full((len(signals), len(pool.labelled)), np.nan)
    for row, name in enumerate(signals):
        shares[row, candidates] = ranks(pool.signals[name][candidates])
    told = ~np.isnan(shares)
    doubt = np.where(told, shares, 0).sum(axis=0) / np.maximum(told.sum(axis=0), 1)
    lot = np.random.default_rng(wish.seed).permutation(len(among))
    order = among[np.lexsort((lot, -doubt[among]))][: wish.count]
    return tuple(
        _doubtful(pool, int(i), dict(zip(signals, shares[:, i], strict=True)), doubt[i], strategy) for i in order
    )


def _doubtful(pool: Pool, index: int, shares: dict[str, float], doubt: float, strategy: str) -> Pick:
    """Named are the signals by which the frame stands out most."""
    order = sorted((name for name in shares if shares[name] > 0), key=lambda name: -shares[name])
    order = [name for name in order if shares[name] >= _TOLD] or order[:1]
    words = [
        f"{SIGNALS[n].describe(float(pool.signals[n][index]))}, above {int(100 * shares[n])}% of frames" for n in order
    ]
    figures = {name: float(pool.signals[name][index]) for name in shares if not np.isnan(shares[name])}
    reason = f"{strategy}: {'; '.join(words) or 'nothing stands out, by lot'}"
    return Pick(index, reason, {"uncertainty": float(doubt), **figures})


def _spread(pool: Pool, wish: Wish, among: Indices, centres: Indices) -> tuple[Pick, ...]:
    """A core set of `among` beside `centres`, which are had already."""
    everything = len(among) == len(pool.embeddings)
    points = pool.embeddings if everything else pool.embeddings[among]
    had = [int(index) for index in centres]
    picks = []
    for centre in k_centres(points, wish.count, pool.embeddings[centres], wish.seed):
        index = int(among[centre.row])
        picks.append(_diverse_pick(pool, index, had, centre.distance))
        had.append(index)
    return tuple(picks)


def _diverse_pick(pool: Pool, index: int, had: Sequence[int], distance: float) -> Pick:
    if not had:
        return Pick(index, "diverse: most like the rest, where covering begins")
    apart = pool.embeddings[index] - pool.embeddings[np.array(had)]
    apart = apart[np.einsum("ij,ij->i", apart, apart).argmin()] ** 2
    total = float(apart.sum())
    parts = [f"{apart[columns].sum() / total:.0%} {name}" for name, columns in pool.blocks.items()] if total > 0 else []
    made_of = f" ({', '.join(parts)})" if parts else ""
    reason = f"diverse: {distance:.2f} from the nearest labelled or selected frame{made_of}"
    return Pick(index, reason, {"distance": distance})


def _both(doubtful: Pick, spread: Pick) -> Pick:
    return Pick(doubtful.index, f"{doubtful.reason}; {spread.reason}", {**doubtful.figures, **spread.figures})
