"""Detectors of `annotator train`: their card in the file says all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from annotator.detectors.candidates import Candidates
from annotator.detectors.image_input import ImageInput
from annotator.detectors.network import Family, Outputs, Shapes
from trainers.detection.outputs import MOST_OVERLAP, read_boxes
from trainers.model_card import DetectorCard, card_from_metadata, carries_detector_card
from trainers.model_run import run_blank
from trainers.runtimes import Session
from trainers.runtimes.formats import ModelFormat


@dataclass(frozen=True)
class TrainedHead:
    """See `Head`."""

    card: DetectorCard
    joint_count: int = 0
    most_overlap: float | None = MOST_OVERLAP

    @property
    def class_names(self) -> tuple[str, ...]:
        """The one category."""
        return (self.card.category,)

    def decode(self, outputs: Outputs) -> list[Candidates]:
        """One candidate a cell."""
        named = {str(place): output for place, output in enumerate(outputs)}
        boxes, scores = read_boxes(self.card, named)
        return [
            Candidates.of_boxes(one, its_scores, np.zeros(len(its_scores), np.intp))
            for one, its_scores in zip(boxes, scores, strict=True)
        ]


def _recognises(session: Session, file_format: ModelFormat) -> bool:
    return carries_detector_card(session.metadata)


def _find_input(session: Session, where: str) -> ImageInput:
    card = _card(session.metadata, where)
    read_boxes(card, run_blank(card, session))  # its checks
    return ImageInput(card.input, border=card.border, smooth=True)


def _find_head(shapes: Shapes, metadata: Mapping[str, str], where: str) -> TrainedHead:
    return TrainedHead(_card(metadata, where))


def _card(metadata: Mapping[str, str], where: str) -> DetectorCard:
    card = card_from_metadata(metadata, where)
    assert isinstance(card, DetectorCard)  # else it would not have been recognised
    return card


FAMILY = Family(
    what="a detector of annotator train",
    signature="a card with task: detection in the file",
    recognises=_recognises,
    find_input=_find_input,
    find_head=_find_head,
)
