"""What a detector's training makes small: scores that are no quality of their box, and boxes that miss their truth."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from trainers.detection.assignment import assign
from trainers.detection.boxes import generalised_iou, hold

_NEGATIVE_WEIGHT, _FOCUS = 0.75, 2.0  # alpha and gamma of Zhang et al., 2021


def detection_loss(
    logits: Tensor,
    boxes: Tensor,
    centres: Tensor,
    truth: Tensor,
    present: Tensor,
    ignored: Tensor,
    ignored_present: Tensor,
    only_inside: Tensor,
) -> tuple[Tensor, Tensor]:
    """The losses of scores and of boxes, each a sum over all cells by the sum of the scores to learn (at least 1).

    Logits (n, cells), boxes (n, cells, 4), centres (cells, 2); truth (n, g, 4), ignored (n, i, 4), of which those count
    that are present (n, g) and (n, i) of bool. A cell without a truth weighs nothing where its centre lies in an
    ignored box, nor, in images of only_inside (n,) of bool, where it lies in no truth box: who is there is not known.
    Boxes lose 1 - GIoU (Rezatofighi et al., 2019), weighted by the score to learn. Computed in 32 bits.
    """
    logits, boxes, truth = logits.float(), boxes.float(), truth.float()
    assigned = assign(logits.detach().sigmoid(), boxes.detach(), centres, truth, present)
    unknown = _held_by_any(ignored, ignored_present, centres)
    unknown |= only_inside[:, None] & ~_held_by_any(truth, present, centres)
    weighed = (assigned.truth >= 0) | ~unknown
    images, cells = torch.nonzero(assigned.truth >= 0, as_tuple=True)
    found = generalised_iou(boxes[images, cells], truth[images, assigned.truth[images, cells]])
    total = assigned.scores.sum().clamp(min=1)
    score_loss = varifocal_loss(logits[weighed], assigned.scores[weighed]).sum() / total
    return score_loss, (assigned.scores[images, cells] * (1 - found)).sum() / total


def varifocal_loss(logits: Tensor, scores: Tensor) -> Tensor:
    """Binary cross-entropy with scores to learn, cell by cell: weighted by these, or where 0 by how wrong the cell is.

    Zhang et al., 2021, VarifocalNet, equation 2.
    """
    mistaken = _NEGATIVE_WEIGHT * logits.sigmoid().pow(_FOCUS)
    entropy = functional.binary_cross_entropy_with_logits(logits, scores, reduction="none")
    return torch.where(scores > 0, scores, mistaken) * entropy


def _held_by_any(boxes: Tensor, present: Tensor, centres: Tensor) -> Tensor:
    """(n, cells) of bool: the cells whose centre lies in a present box."""
    return (hold(boxes, centres) & present[..., None]).any(dim=1)
