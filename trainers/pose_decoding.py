"""A pose network's outputs -> joints, as its card says; and whether the card fits the network at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from trainers.codecs import (
    Activation,
    Alignment,
    average_mirrored,
    decode_coordinates,
    decode_expected_oks,
    decode_heatmaps,
    decode_simcc,
    oks_fall_offs,
    peak_entropy,
    turn_negative,
)
from trainers.codecs.peaks import sigmoid
from trainers.errors import TrainersError
from trainers.model_card import CoordinatesHead, HeatmapHead, ModelCard, SimccHead, pick_output
from trainers.model_run import Array, run_blank
from trainers.runtimes.session import Session
from trainers.score_calibration import calibrate


@dataclass(frozen=True, eq=False)
class InputJoints:
    """Joints in pixels of a network's input, one row a crop.

    xy: (n, joints, 2) float32, NaN where nothing was found. scores: (n, joints) float32, 0 there. seen: (n, joints)
    bool, False where the model itself says that the joint is hidden.
    """

    xy: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    seen: npt.NDArray[np.bool_]


def check_card(card: ModelCard, session: Session) -> None:
    """Run the model once on blank crops; raises TrainersError with the mismatch where the card does not fit it."""
    decode_outputs(card, run_blank(card, session))


def decode_outputs(
    card: ModelCard, outputs: Mapping[str, Array], mirrored: Mapping[str, Array] | None = None
) -> InputJoints:
    """The joints in a model's outputs, averaged with those for the `mirrored` crops where these are given.

    Maps and bins are averaged before they are decoded (Newell et al., 2016), coordinates after. Raises TrainersError
    where an output is missing or has not the shape that the card promises.
    """
    match card.head:
        case HeatmapHead():
            joints = _decode_heatmaps(card, card.head, outputs, mirrored)
        case SimccHead():
            joints = _decode_simcc(card, card.head, outputs, mirrored)
        case CoordinatesHead():
            joints = _decode_coordinates(card, card.head, outputs, mirrored)
    if card.calibration is None:
        return joints
    return replace(joints, scores=calibrate(joints.scores, card.calibration))


def peak_entropies(card: ModelCard, outputs: Mapping[str, Array]) -> npt.NDArray[np.float32] | None:
    """(n, joints) nats: how torn the model is between several places for a joint; NaN where it prefers none.

    Of SimCC the axis that is more torn. None for a head that gives coordinates, which has no second choices.
    """
    match card.head:
        case HeatmapHead() as head:
            maps = _heatmaps(card, head, outputs)
            maps = turn_negative(maps)[0] if head.occluded_is_negative else maps
            return peak_entropy(_evidence(maps, head.activation, (-2, -1)), head.sigma)
        case SimccHead() as head:
            bins = (_evidence(_bins(card, head, outputs, axis), head.activation, (-1,))[..., None, :] for axis in "xy")
            return np.fmax(*(peak_entropy(rows, head.sigma) for rows in bins))
        case CoordinatesHead():
            return None


def mirrored_back(card: ModelCard, joints: InputJoints) -> InputJoints:
    """The joints of mirrored crops as those of the crops themselves."""
    order = list(card.skeleton.flip_order)
    xy = joints.xy[:, order]
    xy[..., 0] = card.input.width - xy[..., 0]
    return InputJoints(xy, joints.scores[:, order], joints.seen[:, order])


def _evidence(values: Array, activation: Activation, cells: tuple[int, ...]) -> Array:
    """`values` as numbers that are 0 where a joint is not. cells: the axes along which a softmax goes."""
    match activation:
        case "sigmoid":
            return sigmoid(values)
        case "softmax":
            return np.exp(values - np.nan_to_num(np.fmax.reduce(values, axis=cells, keepdims=True)))
        case "none":
            return values


def _decode_heatmaps(
    card: ModelCard, head: HeatmapHead, outputs: Mapping[str, Array], mirrored: Mapping[str, Array] | None
) -> InputJoints:
    maps = _heatmaps(card, head, outputs)
    if mirrored is not None:
        maps = _average(card, maps, _heatmaps(card, head, mirrored), head.alignment)
    seen = np.ones(maps.shape[:2], np.bool_)
    if head.occluded_is_negative:
        maps, is_hidden = turn_negative(maps)
        seen = ~is_hidden
    if head.visibility_output is not None:
        seen = _seen(card, head, outputs, mirrored)
    return InputJoints(*_read_off(card, head, maps), seen)


def _read_off(card: ModelCard, head: HeatmapHead, maps: Array) -> tuple[Array, Array]:
    """Positions (n, joints, 2) in the input and scores (n, joints), of maps (n, joints, h, w)."""
    if head.decoding == "expected-oks":
        fall_offs = oks_fall_offs(card.skeleton.sigmas, card.input.size, card.crop.padding)
        return decode_expected_oks(maps, card.input.size, head.alignment, fall_offs, head.sigma)
    return decode_heatmaps(maps, card.input.size, head.alignment, head.decoding, head.sigma, head.activation)


def _decode_simcc(
    card: ModelCard, head: SimccHead, outputs: Mapping[str, Array], mirrored: Mapping[str, Array] | None
) -> InputJoints:
    x_bins, y_bins = (_bins(card, head, outputs, axis) for axis in "xy")
    if mirrored is not None:
        x_bins = _average(card, x_bins, _bins(card, head, mirrored, "x"), head.alignment)
        y_bins = (y_bins + _bins(card, head, mirrored, "y")[:, list(card.skeleton.flip_order)]) / 2
    xy, scores = decode_simcc(x_bins, y_bins, card.input.size, head.alignment, head.activation == "softmax", head.sigma)
    return InputJoints(xy, scores, np.ones(scores.shape, np.bool_))


def _decode_coordinates(
    card: ModelCard, head: CoordinatesHead, outputs: Mapping[str, Array], mirrored: Mapping[str, Array] | None
) -> InputJoints:
    straight = _decode_rows(card, head, outputs)
    if mirrored is None:
        return straight
    flipped = mirrored_back(card, _decode_rows(card, head, mirrored))
    xy = np.float32(0.5) * (straight.xy + flipped.xy)
    scores = np.where(np.isnan(xy[..., 0]), np.float32(0), (straight.scores + flipped.scores) / 2)
    return InputJoints(xy, scores, straight.seen | flipped.seen)


def _decode_rows(card: ModelCard, head: CoordinatesHead, outputs: Mapping[str, Array]) -> InputJoints:
    rows = _rows(card, head, outputs)
    is_logit = head.activation == "sigmoid"
    return InputJoints(*decode_coordinates(rows, head.order, head.unit, card.input.size, is_logit))


def _average(card: ModelCard, maps: Array, mirrored: Array, alignment: Alignment) -> Array:
    own_sides = mirrored[:, list(card.skeleton.flip_order)]
    return average_mirrored(maps, own_sides, card.input.width, alignment)


def _heatmaps(card: ModelCard, head: HeatmapHead, outputs: Mapping[str, Array]) -> Array:
    """(n, joints, h, w), without the background."""
    maps = pick_output(outputs, head.output, f"card {card.name!r}: head.output")
    joints = len(card.skeleton.joints)
    if maps.ndim == 5:
        maps = maps[:, -1]
    if maps.ndim == 4 and head.layout == "nhwc":
        maps = maps.transpose(0, 3, 1, 2)
    if maps.ndim != 4 or maps.shape[1] != joints + head.background_channels:
        channels = f"{joints} joints of skeleton {card.skeleton.name!r}"
        if head.background_channels:
            channels += f" + {head.background_channels} background"
        shape = "(n, h, w, channels)" if head.layout == "nhwc" else "(n, channels, h, w)"
        raise _misfit(card, "head.output", maps, f"{shape} with {channels} as channels")
    return np.asarray(maps[:, :joints], np.float32)


def _seen(
    card: ModelCard, head: HeatmapHead, outputs: Mapping[str, Array], mirrored: Mapping[str, Array] | None
) -> npt.NDArray[np.bool_]:
    """Which joints the model says can be seen, (n, joints); of two answers by their mean."""
    logits = _visibility(card, head, outputs)
    if mirrored is not None:
        logits = logits + _visibility(card, head, mirrored)[:, list(card.skeleton.flip_order)]
    return logits >= 0


def _visibility(card: ModelCard, head: HeatmapHead, outputs: Mapping[str, Array]) -> Array:
    assert head.visibility_output is not None
    logits = pick_output(outputs, head.visibility_output, f"card {card.name!r}: head.visibility_output")
    if logits.shape[1:] != (len(card.skeleton.joints),):
        joints = f"{len(card.skeleton.joints)} joints of skeleton {card.skeleton.name!r}"
        raise _misfit(card, "head.visibility_output", logits, f"(n, joints) with the {joints}")
    return logits


def _bins(card: ModelCard, head: SimccHead, outputs: Mapping[str, Array], axis: str) -> Array:
    """(n, joints, bins) of one axis."""
    key, output, pixels = (
        ("x_output", head.x_output, card.input.width) if axis == "x" else ("y_output", head.y_output, card.input.height)
    )
    bins = pick_output(outputs, output, f"card {card.name!r}: head.{key}")
    joints, count = len(card.skeleton.joints), round(pixels * head.split_ratio)
    if bins.ndim != 3 or bins.shape[1:] != (joints, count):
        expected = f"(n, {joints}, {count}): {joints} joints of skeleton {card.skeleton.name!r}"
        raise _misfit(card, f"head.{key}", bins, f"{expected}, {pixels} pixels x split_ratio {head.split_ratio:g}")
    return np.asarray(bins, np.float32)


def _rows(card: ModelCard, head: CoordinatesHead, outputs: Mapping[str, Array]) -> Array:
    """(n, joints, columns)."""
    rows = pick_output(outputs, head.output, f"card {card.name!r}: head.output")
    joints, columns = len(card.skeleton.joints), len(head.order)
    count = head.rows or joints
    numbers = int(np.prod(rows.shape[1:]))
    if numbers != count * columns or (rows.ndim != 2 and rows.shape[-1] != columns):
        expected = f"{count} rows of {columns} numbers ({', '.join(head.order)})"
        whose = "head.rows" if head.rows else f"one for each of the {joints} joints of skeleton {card.skeleton.name!r}"
        raise _misfit(card, "head.output", rows, f"{expected}, {whose}")
    return np.asarray(rows, np.float32).reshape(len(rows), count, columns)[:, :joints]


def _misfit(card: ModelCard, key: str, got: Array, expected: str) -> TrainersError:
    return TrainersError(
        f"card {card.name!r}: {key}: the model gives an array of shape {got.shape}, expected {expected}; correct "
        "'skeleton', 'input' or 'head' in the card"
    )
