"""How different pictures look, and which few of them cover the rest (pure)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from frame_tools.thumbnail import LUMA_CELLS

Embeddings = npt.NDArray[np.float32]  # (n, size)

NEAR_DUPLICATE = 3.0  # grey levels: two pictures of a still scene with nobody moving differ by less
_LIGHT_WEIGHT = 0.25  # of a change of the whole picture's brightness: clouds and auto-exposure are not news
_BLOCK = 2048  # pictures on either side that are compared at once: 16 MB


def embed(thumbnails: npt.NDArray[np.uint8]) -> Embeddings:
    """Vectors whose Euclidean distance is the root mean square difference of two thumbnails, in grey levels.

    The square makes something small that moved count for more than a faint change everywhere; the picture's overall
    brightness counts little. thumbnails: (n, size) uint8.
    """
    vectors = thumbnails.astype(np.float32)
    luma = vectors[:, : LUMA_CELLS**2]
    luma -= (1 - _LIGHT_WEIGHT) * luma.mean(axis=1, keepdims=True)
    vectors /= np.float32(np.sqrt(vectors.shape[1])) if vectors.size else np.float32(1)
    return vectors


class Coverage:
    """How far each of many pictures is from the nearest one chosen so far; infinite before the first."""

    def __init__(self, embeddings: Embeddings) -> None:
        self._embeddings = embeddings
        self._norms = np.einsum("ij,ij->i", embeddings, embeddings)
        self.distance = np.full(len(embeddings), np.inf, np.float32)

    def distances_to(self, index: int) -> npt.NDArray[np.float32]:
        """Of all pictures to one of them."""
        squared = self._norms + self._norms[index] - 2 * (self._embeddings @ self._embeddings[index])
        distances: npt.NDArray[np.float32] = np.sqrt(np.maximum(squared, 0))
        return distances

    def add(self, index: int) -> None:
        """Choose a picture."""
        np.minimum(self.distance, self.distances_to(index), out=self.distance)

    def cover(self, others: Embeddings) -> None:
        """Count `others` (m, size), which need not be among the pictures, as chosen."""
        norms = np.einsum("ij,ij->i", others, others)
        for start in range(0, len(self._norms), _BLOCK):
            rows = slice(start, start + _BLOCK)
            for first in range(0, len(others), _BLOCK):
                columns = slice(first, first + _BLOCK)
                squared = self._embeddings[rows] @ others[columns].T
                squared *= -2
                squared += norms[columns]
                nearest = np.sqrt(np.maximum(squared.min(axis=1) + self._norms[rows], 0))
                np.minimum(self.distance[rows], nearest, out=self.distance[rows])


def central(embeddings: Embeddings, weights: npt.NDArray[np.floating]) -> int:
    """The index of the picture that is most like all others, sharper ones preferred: where covering begins."""
    spread = np.linalg.norm(embeddings - np.median(embeddings, axis=0), axis=1)
    return int(np.argmin((spread + 1) / np.maximum(weights, 1e-6)))
