"""The protocol's learner: trainings of seconds on one data set, and choices by the project's own strategies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from annotator.acquisition.pool import Bools, Floats, Indices, Pool
from annotator.acquisition.strategies import STRATEGIES, Wish
from annotator.frame_selection import NEEDS_NO_DOUBTS, NEEDS_NO_MODEL
from annotator.pose_model import PoseModel
from annotator.predictions import Prediction
from benchmarks.selection.climbing import Choice, Labelled, Score
from benchmarks.selection.data_sets import Subjects
from benchmarks.selection.learning import learn, learning_view
from benchmarks.selection.looking import Views, blind_pool, cut_views, doubts, make_pool, propose
from trainers.checkpoint import Checkpoint, read_checkpoint
from trainers.crop_store import CropStore
from trainers.metrics.pairs import distances, longer_sides
from trainers.model_card import ModelCard
from trainers.model_run import run_model
from trainers.pose_decoding import InputJoints, decode_outputs
from trainers.pose_steps import joined
from trainers.runtimes import Execution
from trainers.runtimes.checkpoint_session import run_checkpoint
from trainers.samples import SampleView
from trainers.training_config import PoseConfig
from trainers.validation import score_estimates

AGAINST = ("disagreement",)  # strategies that are given a second model: that of the step before
THRESHOLDS = ("0.1", "0.05")  # of the box's longer side
_BATCH = 16


class CropLearner:
    """See `climbing.Learner`. config.weights: the checkpoint that every training begins from.

    steps: of a training on so many labels.
    """

    def __init__(self, subjects: Subjects, config: PoseConfig, steps: Callable[[int], int]) -> None:
        assert config.weights is not None
        self.sizes: Sequence[int] = subjects.sizes
        self._subjects, self._config, self._steps = subjects, config, steps
        self._start = Path(config.weights)
        # The last models are kept: strategies begin with one model, and the one before is compared with.
        self._model = lru_cache(4)(self._train)
        self._proposed = lru_cache(4)(self._propose)
        self._doubts = lru_cache(1)(self._doubt)

    def first(self, seed: int) -> Labelled:
        """See `Learner`."""
        pool = blind_pool(self.sizes[-1], ())
        return tuple(pick.index for pick in STRATEGIES["uniform"](pool, Wish(self.sizes[0], seed)))

    def score(self, labelled: Labelled, seed: int) -> Score:
        """See `Learner`."""
        model, view = self._model(labelled, seed), self._held_out
        batches = np.split(self._held_out_pixels, range(_BATCH, len(view), _BATCH))
        parts = [decode_outputs(model.card, run_model(model.card, model.session, batch)) for batch in batches]
        return count_near(view, joined(parts))

    def choose(self, choice: Choice) -> Labelled:
        """See `Learner`."""
        wish = Wish(choice.count, seed=1000 * choice.seed + len(choice.labelled))
        return tuple(pick.index for pick in STRATEGIES[choice.strategy](self._pool(choice), wish))

    def _pool(self, choice: Choice) -> Pool:
        if choice.strategy in NEEDS_NO_MODEL:
            return blind_pool(self.sizes[-1], choice.labelled)
        found = self._proposed(choice.labelled, choice.seed)
        signals: dict[str, Floats] = {}
        if choice.strategy not in NEEDS_NO_DOUBTS:
            signals = self._doubts(choice.labelled, choice.seed)
        others = self._proposed(choice.before, choice.seed) if choice.strategy in AGAINST else ()
        return make_pool(self._views, found, choice.labelled, signals, others)

    def _train(self, labelled: Labelled, seed: int) -> PoseModel:
        if not labelled:
            return as_model(read_checkpoint(self._start))
        config = self._config.model_copy(update={"seed": seed})
        return as_model(learn(self._learnt, sorted(labelled), config, self._steps(len(labelled))))

    def _propose(self, labelled: Labelled, seed: int) -> tuple[Prediction, ...]:
        return tuple(propose(self._model(labelled, seed), self._views, np.arange(self.sizes[-1])))

    def _doubt(self, labelled: Labelled, seed: int) -> dict[str, Floats]:
        rest: Indices = np.setdiff1d(np.arange(self.sizes[-1]), labelled)
        return doubts(self._model(labelled, seed), self._views, rest)

    @cached_property
    def _learnt(self) -> SampleView:
        return learning_view(self._subjects.pool, self._subjects.skeleton, self._config)

    @cached_property
    def _views(self) -> Views:
        return cut_views(self._model((), 0), self._subjects)

    @cached_property
    def _held_out(self) -> SampleView:
        size, crop = self._config.input.size, self._config.crop
        store = CropStore(self._subjects.held_out, size, crop)
        return SampleView(store, self._subjects.skeleton, size, crop)

    @cached_property
    def _held_out_pixels(self) -> np.ndarray:
        return np.stack([self._held_out.plain(row).pixels for row in range(len(self._held_out))])


def count_near(view: SampleView, estimates: InputJoints) -> Score:
    """The view's samples, measured against their labels."""
    instances = [sample.instance for sample in view.store.samples]
    labelled = np.stack([instance.labelled for instance in instances])
    sides = longer_sides(np.stack([instance.bbox_xyxy for instance in instances]))
    off = distances(score_estimates(view, estimates).xy, np.stack([instance.xy for instance in instances]), labelled)
    near = {name: labelled & (off <= float(name) * sides[:, None]) for name in THRESHOLDS}
    return Score(_counts(labelled), {name: _counts(found) for name, found in near.items()})


def _counts(found: Bools) -> tuple[int, ...]:
    return tuple(found.sum(axis=1).tolist())


def as_model(checkpoint: Checkpoint) -> PoseModel:
    """A checkpoint in memory as a model in use."""
    assert isinstance(checkpoint.card, ModelCard)
    return PoseModel(checkpoint.card, run_checkpoint(checkpoint, Execution()), "", "")
