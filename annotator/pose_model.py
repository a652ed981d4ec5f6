"""Image + Boxes -> Keypoints: top-down pose models, whatever their runtime and head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from annotator.detector import RgbImage
from annotator.errors import AnnotatorError
from annotator.named_models import find_model
from cvat_export.labels import Boxes, Keypoints, Visibility
from cvat_export.skeleton import Skeleton
from trainers.card_template import card_template
from trainers.crops import Affines, crop_affines, crop_image, invert_affines, transform_points
from trainers.model_card import ModelCard, card_from_metadata, pose_card_from_metadata, read_card
from trainers.model_run import run_model
from trainers.pose_decoding import InputJoints, check_card, decode_outputs
from trainers.runtimes import Execution, Session, open_session
from trainers.runtimes.formats import hash_model, identify
from trainers.runtimes.metadata import read_metadata


@dataclass(frozen=True, eq=False)
class Crops:
    """What a pose model sees of n subjects, of one image or of many.

    pixels: (n, height, width, 3) uint8 RGB. to_image: (n, 2, 3) float64, from input pixels to image pixels.
    """

    pixels: npt.NDArray[np.uint8]
    to_image: Affines

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, rows: slice) -> Crops:
        return Crops(self.pixels[rows], self.to_image[rows])

    @classmethod
    def concatenate(cls, parts: Sequence[Crops]) -> Crops:
        """The crops of all parts, one after the other. At least one part, all of one model."""
        return cls(
            np.concatenate([part.pixels for part in parts]),
            np.concatenate([part.to_image for part in parts]),
        )


@dataclass(frozen=True, eq=False)
class PoseModel:
    """A network that estimates the joints of one subject in a crop. sha256: of its file. flip_test: also mirrored."""

    card: ModelCard
    session: Session
    name: str
    sha256: str
    flip_test: bool = False

    @property
    def skeleton(self) -> Skeleton:
        """The joints of the keypoints it gives."""
        return self.card.skeleton

    def prepare(self, image: RgbImage, boxes: Boxes) -> Crops:
        """Cut out the boxes (in any thread). Raises TrainersError for a box without area."""
        size, crop = self.card.input.size, self.card.crop
        to_input = crop_affines(boxes.bbox_xyxy, size, crop.padding, crop.fit)
        pixels = np.empty((len(boxes), size[1], size[0], 3), np.uint8)
        for row, affine in enumerate(to_input):
            pixels[row] = crop_image(image, affine, size, crop.border)
        return Crops(pixels, invert_affines(to_input))

    def estimate(self, crops: Crops) -> Keypoints:
        """Joints in pixels of the original images, one row a crop. One call of the network, two with the flip test.

        A joint that was not found is not labelled: position, score and visibility are 0.
        """
        if not len(crops):
            return Keypoints.empty(len(self.skeleton.joints))
        outputs = run_model(self.card, self.session, crops.pixels)
        mirrored = None
        if self.flip_test:
            mirrored = run_model(self.card, self.session, np.ascontiguousarray(crops.pixels[:, :, ::-1]))
        return joints_in_image(decode_outputs(self.card, outputs, mirrored), crops.to_image)


def load_pose_model(
    path: str | Path, card_path: Path | None, execution: Execution, flip_test: bool = False
) -> PoseModel:
    """Open a model by its name or path, find its card and run it once, before any image is read.

    Raises TrainersError where model or card are not what they should be, AnnotatorError where there is no card.
    """
    place = find_model(path)
    model = identify(place.path)
    session = open_session(model.path, execution)
    card = find_card(model.path, card_path, session)
    if flip_test and not card.flip_test:
        raise AnnotatorError(f"{path}: its card says flip_test: false; leave --flip-test out")
    check_card(card, session)
    return PoseModel(card, session, place.name, hash_model(model), flip_test)


def find_card(path: Path, card_path: Path | None, session: Session) -> ModelCard:
    """The card given, else the one inside the model, else the one beside it (<stem>.card.json, .yaml or .yml).

    Raises AnnotatorError, with a card to complete, where there is none.
    """
    if card_path is not None:
        return read_card(card_path)
    if (embedded := pose_card_from_metadata(session.metadata, str(path))) is not None:
        return embedded
    for candidate in cards_beside(path):
        if candidate.is_file():
            return read_card(candidate)
    template = card_template(path.stem, session.inputs, session.outputs)
    name = cards_beside(path)[1].name
    raise AnnotatorError(
        f"{path}: a pose model without a card: neither the file nor {name} beside it says what its numbers "
        "mean. Complete this card, save it under that name or give it with --pose-card; see docs/model-cards.md.\n\n"
        f"{template}"
    )


def cards_beside(path: Path) -> list[Path]:
    """Where a model's card may lie, the first that is looked at first."""
    return [path.with_name(f"{path.stem}.card.{suffix}") for suffix in ("json", "yaml", "yml")]


def carries_pose_card(path: str | Path) -> bool:
    """Whether a pose model's card lies in the model, by name or path, or beside it; nothing is opened for it.

    Raises TrainersError where the file is no model, or its card is damaged.
    """
    model = identify(find_model(path).path)
    metadata = read_metadata(model)
    if card := card_from_metadata(metadata, str(path)):
        return isinstance(card, ModelCard)
    return any(beside.is_file() for beside in cards_beside(model.path))


def estimate_image(model: PoseModel, image: RgbImage, boxes: Boxes) -> Keypoints:
    """The joints in a single image, for those who have no stream of them."""
    return model.estimate(model.prepare(image, boxes))


def joints_in_image(joints: InputJoints, to_image: Affines) -> Keypoints:
    """The joints of crops in pixels of their images. to_image: as of `Crops`."""
    found = np.isfinite(joints.xy[..., 0]) & np.isfinite(joints.xy[..., 1])
    xy = transform_points(to_image, np.where(found[..., None], joints.xy, 0))
    visible = np.where(joints.seen, Visibility.VISIBLE, Visibility.OCCLUDED)
    return Keypoints(
        np.where(found[..., None], xy, 0).astype(np.float32),
        np.where(found, joints.scores, np.float32(0)),
        np.where(found, visible, Visibility.NOT_LABELLED).astype(np.uint8),
    )
