"""Labelled subjects -> what a network is shown: a crop, and where the joints lie in it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from cvat_export.labels import Visibility
from cvat_export.skeleton import Skeleton
from trainers.augmentation import Augmentation, change_colours, compose, draw_change, half_body_box
from trainers.codecs import Size
from trainers.crop_store import CropStore
from trainers.crops import RgbImage, crop_affines, invert_affines, pixel_indices
from trainers.label_sources import Sample
from trainers.model_card import CropCard


@dataclass(frozen=True, eq=False)
class Shown:
    """One subject as the network sees it.

    pixels: (height, width, 3) uint8 RGB. xy: (joints, 2) float32, pixels of the crop; NaN where the joint is not
    labelled or lies outside the crop. visibility: (joints,) uint8, 0 there. teacher_xy, teacher_scores: what a teacher
    says of the same joints; NaN and 0 where it says nothing.
    """

    pixels: RgbImage
    xy: npt.NDArray[np.float32]
    visibility: npt.NDArray[np.uint8]
    teacher_xy: npt.NDArray[np.float32]
    teacher_scores: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class TeacherJoints:
    """What a teacher proposes for samples: xy (n, joints, 2) in image pixels, NaN for nothing; scores (n, joints)."""

    xy: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SampleView:
    """Samples of one skeleton, cut out for a network's input, plainly or with random changes."""

    store: CropStore
    skeleton: Skeleton
    input_size: Size
    crop: CropCard
    teacher: TeacherJoints | None = None

    def __len__(self) -> int:
        return len(self.store.samples)

    def plain(self, index: int) -> Shown:
        """The sample as a model in use would be given it."""
        return self._show(index, self.store.region(index).pixels, self.store.to_input[index], flipped=False)

    def changed(self, index: int, random: np.random.Generator, settings: Augmentation) -> Shown:
        """The sample with random changes: the same for the same state of `random`."""
        region = self.store.region(index)
        change = draw_change(settings, self.input_size, random)
        to_input = compose(change.affine, self._base(index, settings, random))
        from_region = compose(to_input, invert_affines(region.from_image))
        pixels = cv2.warpAffine(
            region.pixels,
            pixel_indices(from_region),
            self.input_size,
            flags=cv2.INTER_LINEAR,
            borderValue=self.crop.border,
        )
        coloured = change_colours(np.asarray(pixels, np.uint8), settings, random)
        return self._show(index, coloured, to_input, change.flipped)

    def _base(self, index: int, settings: Augmentation, random: np.random.Generator) -> npt.NDArray[np.float64]:
        """Image -> crop before the change: around the whole subject, or around half of it."""
        if random.random() < settings.half_body_probability:
            instance = self.store.samples[index].instance
            box = half_body_box(instance.xy, instance.labelled, random)
            if box is not None:
                base: npt.NDArray[np.float64] = crop_affines(box, self.input_size, self.crop.padding, self.crop.fit)[0]
                return base
        kept: npt.NDArray[np.float64] = self.store.to_input[index]
        return kept

    def _show(self, index: int, pixels: RgbImage, to_input: npt.NDArray[np.float64], flipped: bool) -> Shown:
        sample = self.store.samples[index]
        order = list(self.skeleton.flip_order) if flipped else slice(None)
        xy, inside = self._place(_labelled_xy(sample), to_input)
        visibility = np.where(inside, sample.instance.visibility, Visibility.NOT_LABELLED).astype(np.uint8)
        if self.teacher is None:
            teacher_xy, teacher_scores = np.full_like(xy, np.nan), np.zeros(len(xy), np.float32)
        else:
            teacher_xy, known = self._place(self.teacher.xy[index], to_input)
            teacher_scores = np.where(known, self.teacher.scores[index], np.float32(0))
        return Shown(pixels, xy[order], visibility[order], teacher_xy[order], teacher_scores[order])

    def _place(
        self, xy: npt.NDArray[np.float32], to_input: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Joints in the crop, NaN outside it, and which are inside."""
        placed = xy @ to_input[:, :2].T + to_input[:, 2]
        inside = np.all((placed >= 0) & (placed <= self.input_size), axis=1)  # False for NaN
        return np.where(inside[:, None], placed, np.nan).astype(np.float32), np.asarray(inside)


def _labelled_xy(sample: Sample) -> npt.NDArray[np.float32]:
    """(joints, 2), NaN where nothing is labelled."""
    return np.where(sample.instance.labelled[:, None], sample.instance.xy, np.float32(np.nan))
