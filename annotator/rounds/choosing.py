"""Steps that choose: what there is to choose from, what is kept for measuring, and whom people see next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from annotator.acquisition.core_set import k_centres
from annotator.acquisition.embeddings import looks_vectors, rgb_thumbnail
from annotator.errors import AnnotatorError
from annotator.frame_folder import write_manifest
from annotator.frame_selection import FolderFrame, read_frames
from annotator.inputs import BadInput, ImageFile, find_inputs
from annotator.journal import FrameRow
from annotator.known_frames import entry_key, read_known_frames
from annotator.named_models import NO_MODEL, SHIPPED, added_models, find_model
from annotator.project_files import PROJECT_FILE
from annotator.review.tags import HARD, TAG_FILE, TagFile, tag_file
from annotator.rounds.calling import call, options
from annotator.rounds.step import CurrentRound, Done, Ended, Step, hash_file
from cvat_export.atomic import write_bytes
from frame_tools.images import MANIFEST_FILE, ManifestEntry, read_image
from trainers.runtimes.formats import hash_model, identify

FRAMES = "frames"  # of `evaluation` and `choose`: a frames folder, begun anew where a run was stopped or refused
_VIDEOS, _IMAGES, _APART = "videos", "images", "never"
_UNIFORM = "uniform"


def _pool_inputs(here: CurrentRound) -> dict[str, Any]:
    config, project = here.project.config, here.project
    return {
        "videos": [[video.name, hash_file(video)] for video in project.videos()],
        "images": [[image.path.name, hash_file(image.path)] for image in _images(here)],
        "frames": config.frames.pool,
    }


def _pool(here: CurrentRound, folder: Path) -> Done:
    """Frames of all videos, evenly spaced, and all images, as folders that commands take."""
    videos, found = here.project.videos(), []
    if videos:
        wanted = {"count": here.project.config.frames.pool, "method": _UNIFORM, "output": folder / _VIDEOS}
        call("choose-frames", *videos, *options({**wanted, "overwrite": True}))
        found.append(folder / _VIDEOS)
    skipped: list[BadInput] = []
    if images := _images(here):
        skipped = _write_images(folder / _IMAGES, images)
        found.append(folder / _IMAGES)
    frames = [_frame_row(frame) for frame in read_frames(found)]
    if not frames:
        raise AnnotatorError(f"{folder}: no frames in {len(videos)} videos and {len(images)} images; name others")
    outputs = [part / MANIFEST_FILE for part in found]
    counts = {"frames": len(frames), "videos": len(videos), "images": len(images), "skipped": len(skipped)}
    return Done(counts, outputs, frames)


def pool_folders(here: CurrentRound) -> list[Path]:
    """The frames folders that there are to select from."""
    folder = here.folder("pool")
    return [part for part in (folder / _VIDEOS, folder / _IMAGES) if (part / MANIFEST_FILE).is_file()]


def _evaluation(here: CurrentRound, folder: Path) -> Done:
    """Drawn by lot from all frames, once for all rounds."""
    config = here.project.config
    wanted = {"count": config.frames.evaluation, "strategy": _UNIFORM, "seed": config.seed, "output": folder / FRAMES}
    found = call("select", *pool_folders(here), *options({**wanted, "overwrite": True}))
    frames = [replace(_frame_row(frame), role="evaluation") for frame in read_frames([folder / FRAMES])]
    left = sum(row.role == "pool" for row in here.journal.frames()) - len(frames)
    if left < 1:
        raise AnnotatorError(
            f"frames.evaluation: got {config.frames.evaluation} of {found['candidates']} frames, expected fewer: "
            "nothing would be left to learn from; name more videos, or a lower number"
        )
    return Done({"frames": len(frames), "of": found["candidates"]}, [folder / FRAMES / MANIFEST_FILE], frames)


def _choose_inputs(here: CurrentRound) -> dict[str, Any]:
    config = here.project.config
    frames = config.frames
    return {
        "pool": [hash_file(part / MANIFEST_FILE) for part in pool_folders(here)],
        "evaluation": hash_file(evaluation_frames(here) / MANIFEST_FILE),
        "labelled": sorted(hash_file(part / MANIFEST_FILE) for part in _chosen_before(here)),
        "imports": [row.outputs for row in here.every("import")],
        "models": model_hashes(here),
        "frames": frames.model_dump(exclude={"pool", "evaluation"}, mode="json"),
        "seed": config.seed + here.number,
        "like": _hard(here),
    }


def _hard(here: CurrentRound) -> list[str]:
    """The frames that somebody has tagged as hard since the last round chose."""
    before = {name for row in here.every("choose") if row.round < here.number for name in row.inputs.get("like", ())}
    return [name for name in tag_file(here.project.root).names(HARD) if name not in before]


def _choose(here: CurrentRound, folder: Path) -> Done | Ended:
    """The frames of this round; frames near to those kept for measuring are out of reach."""
    config, pool = here.project.config, read_frames(pool_folders(here))
    never, near = _never(here, pool)
    known = _labelled_keys(here) | {entry_key(frame.entry) for frame in never}
    if all(not frame.keys.isdisjoint(known) for frame in pool):
        return Ended(f"all {len(pool)} frames are chosen, kept for measuring or near to such; name more videos")
    (folder / _APART).mkdir(parents=True, exist_ok=True)
    write_manifest(folder / _APART, [frame.entry for frame in never])
    strategy = here.strategy()
    labelled = [*_chosen_before(here), *(here.project.root / row.folder for row in here.every("import"))]
    found = call(
        "select",
        *pool_folders(here),
        *options(
            {
                "count": config.frames.a_round,
                "output": folder / FRAMES,
                "strategy": strategy,
                "uniform_share": config.frames.uniform_share,
                "seed": config.seed + here.number,
                "held_out": [evaluation_frames(here), *([folder / _APART / MANIFEST_FILE] if never else [])],
                "labelled": labelled,
                "like": _write_hard(here, folder) if strategy != _UNIFORM else [],
                "overwrite": True,
                **_models(here, strategy),
            }
        ),
    )
    frames = chosen_frames(here, folder)
    figures = {
        "frames": len(frames),
        "of": found["candidates"],
        "strategy": strategy,
        "parts": found["parts"],
        "near": near,
    }
    return Done(figures, [folder / FRAMES / MANIFEST_FILE], frames)


def _write_hard(here: CurrentRound, folder: Path) -> list[Path]:
    """The hard frames of this round alone, as `select --like` takes them."""
    wanted = set(_hard(here))
    tagged = [frame for frame in tag_file(here.project.root).read().values() if frame.file_name in wanted]
    if not tagged:
        return []
    TagFile(folder / TAG_FILE).write(tagged)
    return [folder / TAG_FILE]


def chosen_frames(here: CurrentRound, folder: Path) -> list[FrameRow]:
    """What `choose` wrote into its folder, as this round's."""
    return [replace(_frame_row(frame), role="selected", round=here.number) for frame in read_frames([folder / FRAMES])]


def evaluation_frames(here: CurrentRound) -> Path:
    """The frames folder that is kept for measuring."""
    return here.project.root / here.every("evaluation")[-1].folder / FRAMES


def model_hashes(here: CurrentRound) -> list[str | None]:
    """Of detector and pose model."""
    return [model_hash(here, model) for model in (here.detector(), here.model())]


def model_hash(here: CurrentRound, model: str | None) -> str | None:
    """Its content, or the name of what is no file."""
    if model is None or not (Path(here.project.place(model)).exists() or model in (*SHIPPED, *added_models())):
        return model
    path = find_model(here.project.place(model)).path
    return hash_file(path) if path.suffix == ".json" else hash_model(identify(path))


def _models(here: CurrentRound, strategy: str) -> dict[str, Any]:
    model = here.model()
    if strategy == _UNIFORM:
        return {}
    if model is None:
        return {"pose": NO_MODEL}
    return {"detection": detection(here), "pose": model}


def detection(here: CurrentRound) -> str:
    """The detector in use, for a pose model that there is. Raises AnnotatorError where there is none."""
    detector = here.detector()
    if detector is None:
        raise AnnotatorError(
            f"{here.project.root / PROJECT_FILE}: nothing finds subjects for {here.model()}: name a detector as "
            "models.detection, full-frame where a subject fills the image"
        )
    return detector


def _never(here: CurrentRound, pool: Sequence[FolderFrame]) -> tuple[list[FolderFrame], int]:
    """Frames that may not be chosen: near to one kept for measuring; then, of too many, those not on the shortlist."""
    apart = here.project.config.frames.apart_seconds
    kept: dict[str, list[float]] = {}
    for row in here.journal.frames("evaluation"):
        if row.seconds is not None:
            kept.setdefault(row.sha256, []).append(row.seconds)
    near: list[FolderFrame] = []
    rest: list[FolderFrame] = []
    for frame in pool:
        (near if _is_near(_frame_row(frame), kept, apart) else rest).append(frame)
    return [*near, *_not_listed(here, rest)], len(near)


def _is_near(row: FrameRow, kept: dict[str, list[float]], apart: float) -> bool:
    return row.seconds is not None and any(abs(row.seconds - other) < apart for other in kept.get(row.sha256, ()))


def _not_listed(here: CurrentRound, frames: Sequence[FolderFrame]) -> list[FolderFrame]:
    """What is left out where there are more frames than models are to look at: half is listed by lot, half by looks."""
    limit = here.project.config.frames.look_at
    taken = {row.key for row in here.journal.frames() if row.role != "pool"}
    free = [frame for frame in frames if _key(frame) not in taken]
    if len(free) <= limit:
        return []
    _look(here, free)
    keys, roles, vectors = here.journal.vectors()
    is_taken, is_free = np.array([role != "pool" for role in roles]), {_key(frame) for frame in free}
    rows = np.flatnonzero(is_taken | [key in is_free for key in keys])  # not what an earlier pool had
    listed = shortlist(vectors[rows], is_taken[rows], limit, here.project.config.seed + here.number)
    chosen = {keys[rows[row]] for row in listed}
    return [frame for frame in free if _key(frame) not in chosen]


def shortlist(vectors: np.ndarray, taken: np.ndarray, limit: int, seed: int) -> list[int]:
    """Rows of `vectors` (n, size) worth a look: half drawn by lot, half a core set beside these and `taken` (n,)."""
    free = np.flatnonzero(~taken)
    drawn = np.random.default_rng(seed).choice(free, min(limit // 2, len(free)), replace=False)
    rest = np.setdiff1d(free, drawn, assume_unique=True)
    had = np.concatenate([np.flatnonzero(taken), drawn])
    centres = k_centres(vectors[rest], limit - len(drawn), vectors[had], seed)
    return [*map(int, drawn), *(int(rest[centre.row]) for centre in centres)]


def _look(here: CurrentRound, frames: Sequence[FolderFrame]) -> None:
    """Write down what frames look like of which that is not known yet."""
    known = set(here.journal.vectors()[0])
    unknown = [frame for frame in frames if _key(frame) not in known]
    if unknown:
        here.say(f"looking at {len(unknown)} frames")
        thumbnails = np.stack([rgb_thumbnail(read_image(frame.path).pixels) for frame in unknown])
        here.journal.put_vectors([_key(frame) for frame in unknown], looks_vectors(thumbnails))


def _chosen_before(here: CurrentRound) -> list[Path]:
    """The frames folders of the rounds before this one."""
    return [here.project.root / row.folder / FRAMES for row in here.every("choose") if row.round < here.number]


def _labelled_keys(here: CurrentRound) -> set[Any]:
    folders = [
        evaluation_frames(here),
        *_chosen_before(here),
        *(here.project.root / r.folder for r in here.every("import")),
    ]
    return {key for folder in folders for key in read_known_frames(folder)}


def _images(here: CurrentRound) -> list[ImageFile]:
    """The images that the project names, folders opened. Raises AnnotatorError for a video among them."""
    names = [str(path) for path in here.project.images()]
    found = find_inputs(names) if names else []
    images = [item for item in found if isinstance(item, ImageFile)]
    if videos := [item.path.name for item in found if not isinstance(item, ImageFile)]:
        raise AnnotatorError(
            f"{here.project.root / PROJECT_FILE}: images: got the video {videos[0]}; name it under videos"
        )
    return images


def _write_images(folder: Path, images: Sequence[ImageFile]) -> list[BadInput]:
    """A frames folder of images, each its own source."""
    folder.mkdir(parents=True, exist_ok=True)
    entries, bad = [], []
    for number, file in enumerate(images):
        image = file.load()
        if isinstance(image, BadInput):
            bad.append(image)
            continue
        write_bytes(folder / image.file_name, image.content)
        entries.append(
            ManifestEntry(image.file_name, image.file_name, image.source.sha256, 0, Fraction(1), number, "image")
        )
    write_manifest(folder, entries)
    return bad


def _frame_row(frame: FolderFrame) -> FrameRow:
    entry = frame.entry
    return FrameRow(entry.sha256, entry.pts, entry.file, entry.seconds)


def _key(frame: FolderFrame) -> tuple[str, int]:
    return frame.entry.sha256, frame.entry.pts


POOL = Step("pool", _pool_inputs, _pool, lasting=True)
EVALUATION = Step("evaluation", lambda here: {}, _evaluation, lasting=True)  # it stays as it was drawn
CHOOSE = Step("choose", _choose_inputs, _choose)
