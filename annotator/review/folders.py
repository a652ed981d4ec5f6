"""Folders -> what there is to review: what preannotate or pull wrote, or all rounds of a project."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from annotator.change_rows import CHANGES_FILE, CONFIRMED_EMPTY, Row, read_changes
from annotator.correction_cost import Costs
from annotator.errors import AnnotatorError
from annotator.journal import JOURNAL_FILE, Journal
from annotator.known_frames import FrameKey, entry_key, file_key
from annotator.predictions import PREDICTIONS_FILE, FrameSource, with_joint_scores, with_models
from annotator.project import Project, read_project
from annotator.project_files import PROJECT_FILE
from annotator.proposal_outcomes import Round, read_rounds, video_facet
from annotator.review.errors import judge
from annotator.review.frames import Origin, Review, ReviewedFrame, ReviewedSubject, Work
from annotator.review.given_truth import with_truth
from annotator.rounds.choosing import FRAMES
from annotator.rounds.correcting import CORRECTED, EVALUATION, OUT
from cvat_export.coco import ANNOTATION_FILE, read_coco
from cvat_export.dataset import Dataset, LabelledImage
from cvat_export.instance_rows import parse_row
from cvat_export.labels import Instance
from cvat_export.skeleton import Skeleton
from cvat_export.suspects import find_suspects
from frame_tools.images import MANIFEST_FILE, ManifestEntry, read_manifest
from trainers.splits import image_groups

Origins = Mapping[FrameKey, Origin]


def read_review(folder: Path, frames_folders: Sequence[Path] = (), truth: Path | None = None) -> Review:
    """All that there is to show of a folder, judged. frames_folders: whose manifests say why frames were chosen.

    Raises AnnotatorError, CvatExportError or FrameToolsError where the folder is of none of the three kinds.
    """
    origins = {key: origin for path in frames_folders for key, origin in _manifest_origins(path).items()}
    if is_project(folder):
        review = _read_project(folder)
    elif (folder / CHANGES_FILE).is_file():
        review = _read_pulled(folder, origins)
    elif (folder / ANNOTATION_FILE).is_file():
        review = _read_proposed(folder, origins)
    else:
        raise AnnotatorError(
            f"{folder}: got neither {PROJECT_FILE} nor {CHANGES_FILE} nor {ANNOTATION_FILE} in it; expected a project, "
            "or a folder that annotator pull or annotator preannotate wrote"
        )
    if truth is not None:
        review = with_truth(review, truth)
    return judge(replace(review, frames=tuple(_with_suspicions(frame, review.skeletons) for frame in review.frames)))


def is_project(folder: Path) -> bool:
    """Whether the folder has a project file of its own."""
    return (folder / PROJECT_FILE).is_file()


def pulled_part(folder: Path) -> Path:
    """Where what was pulled lies: a project's own folder for that, else the folder itself."""
    return folder / CORRECTED if is_project(folder) else folder


def _read_proposed(folder: Path, origins: Origins) -> Review:
    dataset = _proposals(folder)
    known = {**_predicted_origins(folder), **origins}
    frames = _proposed_frames(folder, dataset, known)
    return Review(folder, _skeletons(dataset), tuple(frames))


def _proposals(folder: Path) -> Dataset:
    return with_models(with_joint_scores(read_coco(folder), folder), folder)


def _skeletons(dataset: Dataset) -> dict[str, Skeleton]:
    return {category.name: category.skeleton for category in dataset.categories if category.skeleton is not None}


def _proposed_frames(folder: Path, dataset: Dataset, origins: Origins) -> Iterator[ReviewedFrame]:
    videos = _videos(dataset.images, folder)
    for image in dataset.images:
        yield ReviewedFrame(
            file_name=image.file_name,
            path=folder / "images" / image.file_name,
            width=image.width,
            height=image.height,
            video=videos[image.file_name],
            origin=origins.get(file_key(image.file_name), Origin()),
            proposals=tuple(map(ReviewedSubject, image.instances)),
            models=_models(image.instances),
        )


def _models(instances: Iterable[Instance]) -> str:
    return " + ".join(dict.fromkeys(name for one in instances for name in one.extra.get("models", ())))


def _videos(images: Sequence[LabelledImage], folder: Path) -> dict[str, str]:
    """File name -> the video, or what else holds images together; empty for an image by itself."""
    groups, _ = image_groups(images, "auto", str(folder))
    return {
        image.file_name: video_facet(group, image.file_name).get("video", "")
        for image, group in zip(images, groups, strict=True)
    }


def _predicted_origins(folder: Path) -> dict[FrameKey, Origin]:
    """What predictions.jsonl says of sources; the reason is in the frames folder alone."""
    path = folder / PREDICTIONS_FILE
    if not path.exists():
        return {}
    with path.open(encoding="utf-8") as lines:
        rows = (json.loads(line) for line in lines)  # that they are predictions was seen when their scores were read
        return {file_key(row["file_name"]): _predicted_origin(FrameSource(**row["frame"])) for row in rows}


def _predicted_origin(source: FrameSource) -> Origin:
    if source.time_base is None:
        return Origin(source.sha256)
    return Origin(source.sha256, source.pts, float(source.pts * Fraction(source.time_base)))


def _manifest_origins(folder: Path, role: str | None = None, number: int | None = None) -> dict[FrameKey, Origin]:
    """By both names that label files may have kept of a frame."""
    if not (folder / MANIFEST_FILE).is_file():
        raise AnnotatorError(
            f"{folder}: no {MANIFEST_FILE} in it; expected a frames folder, as choose-frames writes it"
        )
    origins: dict[FrameKey, Origin] = {}
    for entry in read_manifest(folder):
        origin = _manifest_origin(entry, role, number)
        origins |= {entry_key(entry): origin, file_key(entry.file): origin}
    return origins


def _manifest_origin(entry: ManifestEntry, role: str | None, number: int | None) -> Origin:
    return Origin(
        sha256=entry.sha256,
        pts=None if entry.seconds is None else entry.pts,
        seconds=entry.seconds,
        reason=entry.reason,
        quality=entry.quality,
        role=role,
        round=number,
    )


def _read_pulled(folder: Path, origins: Origins) -> Review:
    dataset = read_coco(folder)
    skeletons = _skeletons(dataset)
    rows = _rows_by_frame(folder)
    sizes = [LabelledImage(name, mine[0]["width"], mine[0]["height"]) for name, mine in rows.items()]
    videos = _videos(sizes, folder)
    there = {path.name for path in (folder / "images").iterdir()} if (folder / "images").is_dir() else set()
    frames = [
        _with_rows(
            ReviewedFrame(
                name,
                folder / "images" / name,
                image.width,
                image.height,
                videos[name],
                origins.get(file_key(name), _named_origin(name)),
            ),
            rows[name],
            skeletons,
        )
        for image in sizes
        if (name := image.file_name) in there
    ]
    missing = len(rows) - len(frames)
    note = f"{missing} frames are not shown: pull brings no pictures of jobs that are not finished; review the project"
    return Review(folder, skeletons, tuple(frames), (note,) * bool(missing))


def _rows_by_frame(folder: Path) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in read_changes(folder):
        rows[row["file_name"]].append(row)
    return rows


def _named_origin(file_name: str) -> Origin:
    """What a frame's name tells by itself."""
    key = file_key(file_name)
    return Origin(pts=key[1]) if isinstance(key, tuple) else Origin()


def _with_rows(frame: ReviewedFrame, rows: Sequence[Row], skeletons: Mapping[str, Skeleton]) -> ReviewedFrame:
    """The frame with what changes.jsonl says of it. Raises AnnotatorError on other rows."""
    try:
        proposals, corrections = _subjects(rows, skeletons)
        first = rows[0]
        work = None
        if first["task"]:
            work = Work(first["task"], first["frame"], first["job"], first.get("address"), first["assignee"])
        models = _models(one.instance for one in proposals) or frame.models
        return replace(
            frame,
            work=work,
            proposals=proposals,
            corrections=corrections,
            finished=first["finished"],
            models=models,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise AnnotatorError(
            f"{frame.file_name}: {CHANGES_FILE} holds a line that this version does not know: {error!r}; pull again"
        ) from error


def _subjects(
    rows: Sequence[Row], skeletons: Mapping[str, Skeleton]
) -> tuple[tuple[ReviewedSubject, ...], tuple[ReviewedSubject, ...]]:
    """Proposals, and what people made of them."""
    filled = [row for row in rows if row["fate"] != CONFIRMED_EMPTY]
    name = rows[0]["file_name"]
    (told,), _ = read_rounds([Round("", rows, skeletons, {name: name})], Costs(), suspects=False)
    proposals: list[ReviewedSubject] = []
    corrections: list[ReviewedSubject] = []
    for row, subject in zip(filled, told.subjects, strict=True):
        made_of = None
        if row["proposed"]:
            made_of = len(proposals)
            instance = parse_row(row["proposed"], row["category"])
            proposals.append(ReviewedSubject(instance, fate=row["fate"], outcomes=subject.joints))
        if row["corrected"]:
            instance = parse_row(row["corrected"], row["category"])
            corrections.append(ReviewedSubject(instance, fate=row["fate"], made_of=made_of))
    return tuple(proposals), tuple(corrections)


def _read_project(folder: Path) -> Review:
    """All rounds: each frame once, with what people made of it where it was pulled."""
    project = Project(folder, read_project(folder / PROJECT_FILE))
    frames = {frame.key: frame for frame in _round_frames(project)}
    if not frames:
        raise AnnotatorError(f"{folder}: no round has proposed anything yet; run annotator round next in it")
    corrected = folder / CORRECTED
    rows = _rows_by_frame(corrected) if (corrected / CHANGES_FILE).is_file() else {}
    skeletons = {project.config.category: project.skeleton}
    for name, mine in rows.items():
        if (known := frames.get(file_key(name))) is not None:
            frames[known.key] = _as_truth(_with_rows(known, mine, skeletons))
    return Review(folder, skeletons, tuple(frames.values()))


def _round_frames(project: Project) -> Iterator[ReviewedFrame]:
    """What was proposed in each round that has not been undone, then what is kept for measuring, without proposals."""
    if not (project.state / JOURNAL_FILE).is_file():
        return
    journal = Journal(project.state)
    try:
        done = [row for row in journal.steps() if row.state == "done"]
    finally:
        journal.close()
    folders = {(row.name, row.round): project.root / row.folder for row in done}
    proposed = sorted(number for name, number in folders if name == "propose")
    for number in proposed:
        origins = _manifest_origins(folders["choose", number] / FRAMES, "training", number)
        out = folders["propose", number] / OUT
        yield from _proposed_frames(out, _proposals(out), origins)
    if proposed:
        origins = _manifest_origins(folders["evaluation", proposed[-1]] / FRAMES, "evaluation")
        bare = folders["propose", proposed[-1]] / EVALUATION
        for frame in _proposed_frames(bare, read_coco(bare), origins):
            yield replace(frame, was_proposed=False)


def _as_truth(frame: ReviewedFrame) -> ReviewedFrame:
    """What people made of a frame of the evaluation set is what models are measured by."""
    if frame.origin.role != "evaluation":
        return frame
    return replace(frame, truth=frame.corrections, corrections=(), has_truth=frame.finished)


def _with_suspicions(frame: ReviewedFrame, skeletons: Mapping[str, Skeleton]) -> ReviewedFrame:
    proposals = list(frame.proposals)
    for category, skeleton in skeletons.items():
        mine = [place for place, one in enumerate(proposals) if one.instance.category == category]
        found = find_suspects([proposals[place].instance for place in mine], skeleton)
        for place, suspicions in zip(mine, found, strict=True):
            proposals[place] = replace(proposals[place], suspicions=suspicions)
    return replace(frame, proposals=tuple(proposals))
