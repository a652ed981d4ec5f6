"""What strategies choose from, and what they give (pure values)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from frame_tools.novelty import Embeddings

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.floating]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class SignalKind:
    """One way in which models show that they are unsure. Values are higher the less sure they are.

    words: what a value means, with a place for the figure. is_similarity: the figure in words is 1 - value.
    """

    words: str
    is_similarity: bool

    def describe(self, value: float) -> str:
        """`several peaks a joint (entropy 0.41)`."""
        return self.words.format(1 - value if self.is_similarity else value)


SIGNALS = {  # name -> what it is, in the order of pages
    "peaks": SignalKind("several peaks a joint (entropy {:.2f})", False),
    "flip": SignalKind("another pose when mirrored (OKS {:.2f})", True),
    "shift": SignalKind("another pose when shifted (OKS {:.2f})", True),
    "jump": SignalKind("unlike its neighbours in time (OKS {:.2f})", True),
    "models": SignalKind("two models disagree (OKS {:.2f})", True),
    "detector": SignalKind("box and joints disagree (IoU {:.2f})", True),
}


@dataclass(frozen=True, eq=False)
class Pool:
    """n frames. embeddings: (n, d) float32. labelled, held_out: (n,) bool; neither is ever selected.

    signals: name of `SIGNALS` -> (n,), NaN where there is none. blocks: what columns of the embeddings stand for.
    Labelled frames cover what they resemble; frames that are held out are as if they were not there.
    """

    embeddings: Embeddings
    labelled: Bools
    held_out: Bools
    signals: Mapping[str, Floats] = field(default_factory=dict)
    blocks: Mapping[str, slice] = field(default_factory=dict)

    @property
    def candidates(self) -> Indices:
        """The frames that may be selected, in order."""
        return np.flatnonzero(~(self.labelled | self.held_out))


@dataclass(frozen=True)
class Pick:
    """A selected frame, and why: in words, and as figures for the manifest."""

    index: int
    reason: str
    figures: Mapping[str, float] = field(default_factory=dict)
