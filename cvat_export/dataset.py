"""A labelled dataset: images, and what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cvat_export.errors import CvatExportError
from cvat_export.labels import Instance
from cvat_export.skeleton import Skeleton


@dataclass(frozen=True)
class Category:
    """A kind of subject. skeleton: None where only boxes are labelled. extra: see `Instance.extra`."""

    name: str
    skeleton: Skeleton | None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LabelledImage:
    """One image with everything labelled in it; no instances means nobody is there.

    file_name: relative to the dataset's images/. width, height: pixels, upright.
    """

    file_name: str
    width: int
    height: int
    instances: tuple[Instance, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """Images in their order, with the categories that their instances name. extra: the file's own header."""

    categories: tuple[Category, ...]
    images: tuple[LabelledImage, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        joint_counts = {c.name: len(c.skeleton.joints) if c.skeleton else 0 for c in self.categories}
        for image in self.images:
            for position, instance in enumerate(image.instances):
                where = f"{image.file_name}, instance {position}"
                if instance.category not in joint_counts:
                    known = ", ".join(joint_counts) or "none"
                    raise CvatExportError(f"{where}: got category {instance.category!r}, expected one of: {known}")
                if len(instance.visibility) != joint_counts[instance.category]:
                    raise CvatExportError(
                        f"{where}: got {len(instance.visibility)} joints, expected "
                        f"{joint_counts[instance.category]}, as its category {instance.category!r} has"
                    )

    def category(self, name: str) -> Category:
        """The category of this name; its instances' joints are in its skeleton's order."""
        return next(category for category in self.categories if category.name == name)
