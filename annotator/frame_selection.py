"""Frames folders -> the frames that are worth a person's time: look at all, choose, write a folder of the chosen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path, PurePosixPath

import numpy as np

from annotator.acquisition.likes import with_likes
from annotator.acquisition.measuring import Measured, Progress, measure, propose
from annotator.acquisition.pool import SIGNALS, Bools, Pick, Pool
from annotator.acquisition.strategies import STRATEGIES, Wish
from annotator.errors import AnnotatorError
from annotator.estimators import PoseEstimator
from annotator.frame_folder import ERRORS_FILE, write_manifest
from annotator.inputs import BadInput, ImageFile, InputImage, Loader
from annotator.known_frames import FrameKey, entry_key, file_key
from annotator.predictions import FrameSource
from annotator.report import PICTURES, REPORT_FILE
from cvat_export.archive import colliding_names
from cvat_export.atomic import write_bytes, write_json_lines
from cvat_export.errors import CvatExportError
from frame_tools.errors import FrameToolsError
from frame_tools.images import MANIFEST_FILE, ManifestEntry, read_image, read_manifest
from trainers.image_files import ImageRef

NEEDS_NO_MODEL = ("uniform",)
NEEDS_NO_DOUBTS = ("uniform", "diverse", "disagreement")
FIGURES = frozenset({"rank", "uncertainty", "distance", "inclusion_probability", *SIGNALS})  # of selected frames

Known = Mapping[FrameKey, ImageRef | None]
Bar = Callable[[str, int], AbstractContextManager[Progress]]  # what is done, and how often


@dataclass(frozen=True)
class FolderFrame:
    """A frame of a frames folder: its picture, and its line of the manifest."""

    path: Path
    entry: ManifestEntry

    @property
    def source(self) -> FrameSource:
        """As predictions name it."""
        return FrameSource(self.entry.sha256, self.entry.pts, str(self.entry.time_base))

    @property
    def keys(self) -> set[FrameKey]:
        """By what frames folders and label files may name it; the latter know its file's name alone."""
        return {entry_key(self.entry), file_key(self.entry.file)}


@dataclass(frozen=True)
class Selecting:
    """What to select from, and how. against: the model that `estimator` is compared with.

    like: frames that somebody found hard, of which more is wanted.
    """

    frames: Sequence[FolderFrame]
    labelled: Known
    held_out: Known
    strategy: str
    wish: Wish
    estimator: PoseEstimator | None
    against: PoseEstimator | None
    batch_size: int
    workers: int
    like: Set[FrameKey] = frozenset()

    @cached_property
    def keys(self) -> frozenset[FrameKey]:
        """By what its frames may be named."""
        return frozenset(key for frame in self.frames for key in frame.keys)


@dataclass(frozen=True, eq=False)
class Selected:
    """What was selected. pool, picks: see `strategies`. frames: row by row with the pool, None for others' pictures.

    measured: None where no model was asked. notes: in words, what a person should know.
    """

    pool: Pool
    picks: tuple[Pick, ...]
    frames: tuple[FolderFrame | None, ...]
    measured: Measured | None
    notes: tuple[str, ...]


def read_frames(folders: Sequence[Path]) -> list[FolderFrame]:
    """All frames of some frames folders; one that is in several of them counts once. Raises AnnotatorError."""
    frames: dict[FrameKey, FolderFrame] = {}
    for folder in folders:
        if not (folder / MANIFEST_FILE).is_file():
            raise AnnotatorError(
                f"{folder}: no {MANIFEST_FILE} in it; expected a folder that annotator choose-frames, clip or select "
                "wrote, for frames are told apart by source and pts"
            )
        for entry in read_manifest(folder):
            frames.setdefault(entry_key(entry), FolderFrame(folder / entry.file, entry))
    if collisions := colliding_names([str(frame.path) for frame in frames.values()]):
        stem, files = next(iter(collisions.items()))
        raise AnnotatorError(f"{', '.join(files)}: different frames of one name, {stem!r}; rename one in its manifest")
    return list(frames.values())


def digest(frames: Iterable[FolderFrame], known: Iterable[Known]) -> str:
    """A fingerprint of what is selected from, and of what is never selected."""
    names = [[*map(str, (frame.source.sha256, frame.source.pts, frame.entry.file))] for frame in frames]
    keys = [sorted(map(str, one)) for one in known]
    return hashlib.sha256(json.dumps([names, keys]).encode()).hexdigest()


def select(request: Selecting, progress: Bar) -> Selected:
    """Measure what the strategy needs, and apply it. Raises AnnotatorError where there is nothing to select."""
    frames = [frame for frame in request.frames if frame.keys.isdisjoint(request.held_out)]
    candidates = [frame for frame in frames if frame.keys.isdisjoint(request.labelled)]
    if not candidates:
        raise AnnotatorError(
            f"got {len(request.frames)} frames, all of them labelled or held out; expected others to select from: "
            "choose more with annotator choose-frames"
        )
    rows: tuple[FolderFrame | None, ...] = tuple(frames)
    measured = None
    if request.estimator is not None:
        measured = _measure(request, request.estimator, frames, candidates, progress)
        frame_of = {frame.source: frame for frame in frames}
        rows = tuple(frame_of.get(prediction.source) for prediction in measured.predictions)
    labelled = [frame is None or not frame.keys.isdisjoint(request.labelled) for frame in rows]
    pool = _pool(measured, np.array(labelled, bool))
    named = {row: frame for row, frame in enumerate(rows) if frame is not None}
    hard = {row: frame.entry.file for row, frame in named.items() if not frame.keys.isdisjoint(request.like)}
    picks = with_likes(pool, hard, request.wish, STRATEGIES[request.strategy])
    return Selected(pool, picks, rows, measured, tuple(_notes(request, len(pool.candidates), len(picks))))


def write_selected(output: Path, selected: Selected) -> tuple[list[ManifestEntry], list[BadInput]]:
    """Copy the chosen frames and write manifest and errors; gives the manifest's lines, best first, and all errors."""
    entries: list[ManifestEntry] = []
    bad = [] if selected.measured is None else [*selected.measured.bad]
    for pick in selected.picks:
        frame = selected.frames[pick.index]
        assert frame is not None
        try:
            content = frame.path.read_bytes()
            read_image(frame.path, content)
        except (FrameToolsError, OSError) as error:
            bad.append(BadInput(str(frame.path), str(error)))
            continue
        write_bytes(output / frame.entry.file, content)
        entries.append(_entry(frame.entry, pick, len(entries) + 1))
    if bad:
        write_json_lines(output / ERRORS_FILE, [vars(one) for one in bad])
    return entries, bad


def finish_manifest(output: Path, entries: Iterable[ManifestEntry]) -> None:
    """The manifest in order of video and time, as choose-frames has it."""
    write_manifest(output, sorted(entries, key=lambda entry: (entry.source, entry.sha256, entry.pts)))


def output_names(output: Path) -> tuple[str, ...]:
    """What an earlier run has written beside the manifest."""
    frames = [entry.file for entry in read_manifest(output)] if (output / MANIFEST_FILE).is_file() else []
    return (PICTURES, REPORT_FILE, ERRORS_FILE, *frames)


def _entry(entry: ManifestEntry, pick: Pick, rank: int) -> ManifestEntry:
    """The manifest's line of a pick, without the figures of an earlier selection."""
    kept = {name: value for name, value in entry.quality.items() if name not in FIGURES}
    figures = {name: value for name, value in pick.figures.items() if np.isfinite(value)}
    return replace(entry, reason=pick.reason, quality={**kept, "rank": rank, **figures})


def _measure(
    request: Selecting,
    estimator: PoseEstimator,
    frames: Sequence[FolderFrame],
    candidates: Sequence[FolderFrame],
    progress: Bar,
) -> Measured:
    """All that a strategy asks of models; frames that are held out are not even looked at."""
    loaders = [*map(_loader, frames), *_labelled_elsewhere(request)]
    doubted: Collection[FrameSource] = set()
    if request.strategy not in NEEDS_NO_DOUBTS:
        doubted = {frame.source for frame in candidates}
    with progress("look", len(loaders)) as done:
        measured = measure(loaders, estimator, doubted, request.batch_size, request.workers, done)
    if request.against is not None:
        with progress("compare", len(candidates)) as done:
            measured.others = propose([*map(_loader, candidates)], request.against, request.workers, done)
    return measured


def _loader(frame: FolderFrame) -> Loader:
    return ImageFile(frame.path, frame.source).load


def _labelled_elsewhere(request: Selecting) -> list[Loader]:
    """Labelled pictures that are not among the frames: they cover what they resemble."""
    known = request.keys | request.held_out.keys()
    return [partial(_load_ref, ref) for key, ref in request.labelled.items() if key not in known and ref is not None]


def _load_ref(ref: ImageRef) -> InputImage | BadInput:
    try:
        content = ref.content()
        pixels = read_image(str(ref), content).pixels
    except (FrameToolsError, CvatExportError, OSError) as error:
        return BadInput(str(ref), str(error))
    source = FrameSource(hashlib.sha256(content).hexdigest(), 0)
    return InputImage(PurePosixPath(ref.member or ref.path.name).name, pixels, content, source)


def _pool(measured: Measured | None, labelled: Bools) -> Pool:
    held_out = np.zeros(len(labelled), bool)
    if measured is None:
        return Pool(np.zeros((len(labelled), 1), np.float32), labelled, held_out)
    embeddings, blocks = measured.embeddings()
    return Pool(embeddings, labelled, held_out, measured.signals(), blocks)


def _notes(request: Selecting, candidates: int, picked: int) -> Iterable[str]:
    if picked < request.wish.count:
        yield f"{picked} of {request.wish.count}: there are no more than {candidates} frames to select from"
    for name, known in (("labelled", request.labelled), ("held out", request.held_out)):
        if known and request.keys.isdisjoint(known):
            yield f"none of the {len(known)} frames that are {name} is among those to select from: check the names"
    if request.like and request.keys.isdisjoint(request.like):
        yield f"none of the {len(request.like)} hard frames is among those to select from: nothing is chosen for them"
    if lost := [key for key, ref in request.labelled.items() if ref is None and key not in request.keys]:
        yield f"{len(lost)} labelled frames have no picture here: what they resemble counts as not labelled"
