"""The labelled dataset, its file formats, and CVAT as its home."""

from cvat_export.errors import CvatExportError
from cvat_export.labels import Boxes, Instance, Keypoints
from cvat_export.skeleton import Skeleton, read_skeleton

__all__ = ["Boxes", "CvatExportError", "Instance", "Keypoints", "Skeleton", "read_skeleton"]
