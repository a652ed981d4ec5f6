"""What an export says otherwise than its checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from trainers.codecs import Size
from trainers.errors import TrainersError
from trainers.model_card import MIN_BOX_SCORE, Card, DetectorCard
from trainers.score_calibration import move_score

_NOT_OF_DETECTORS = {"min_joint_score": "is a detector, which has no joints"}
_NOT_OF_POSE_MODELS = {
    "propose_from": "is a pose model, which proposes no boxes",
    "input_size": "is a pose model, which knows joints at the size of its training alone; expected a detector",
}


@dataclass(frozen=True)
class CardChanges:
    """Of what is None the card stays as it is.

    input_size: (width, height) that a detector takes. propose_from: the score of a detector that becomes 0.25, from
    which boxes are proposed where the user says nothing else.
    """

    input_size: Size | None = None
    licence: str | None = None
    min_joint_score: float | None = None
    propose_from: float | None = None

    def apply(self, card: Card) -> Card:
        """The card with these changes. Raises TrainersError for what cards of its kind do not have."""
        for name, reason in (_NOT_OF_DETECTORS if isinstance(card, DetectorCard) else _NOT_OF_POSE_MODELS).items():
            if getattr(self, name) is not None:
                raise TrainersError(f"{name.replace('_', ' ')}: {card.name!r} {reason}")
        update: dict[str, object] = {}
        if self.licence is not None:
            update["licence"] = self.licence
        if self.min_joint_score is not None:
            update["min_joint_score"] = self.min_joint_score
        if self.propose_from is not None:
            update["calibration"] = move_score(self.propose_from, MIN_BOX_SCORE)
        if self.input_size is not None:
            width, height = self.input_size
            update["input"] = card.input.model_copy(update={"width": width, "height": height})
        return card.model_copy(update=update)


UNCHANGED = CardChanges()
