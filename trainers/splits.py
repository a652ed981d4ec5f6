"""What must not be split between training and validation, and how it is split: the same on every machine."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt

from cvat_export.dataset import LabelledImage
from trainers.errors import TrainersError

GROUP_RULES = ("auto", "image", "folder", "file", "regex:PATTERN", "time:N")

# A chosen frame, `<video>-<hash>-<pts>`, and its crops, `<frame>-<position>`.
_FRAME_STEM = re.compile(r".+?-([0-9a-f]{8})--?\d+(?:-\d{2,})?")
_VIDEO_KEYS = ("video", "video_id", "vid_id", "group", "sequence")  # of an image's row, as files were seen to have them
_EXACT_CELLS = 50_000_000  # groups x samples up to which the share is met exactly


def image_groups(images: Sequence[LabelledImage], rule: str, source: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What each image of one source belongs to, by one of GROUP_RULES, and notes. Raises TrainersError.

    auto: the video of a chosen frame, else the video that the file names, else the folder in its name where there are
    several, else itself. Names are the same for every source, so that one video in two files is one group.
    """
    kind, _, argument = rule.partition(":")
    names = [image.file_name for image in images]
    if rule == "auto":
        return _auto(images, source)
    if rule == "image":
        return tuple(map(_image_group, names)), ()
    if rule == "folder":
        return tuple(map(_folder_group, names)), ()
    if rule == "file":
        return (f"file {source}",) * len(names), ()
    if kind == "regex" and argument:
        return _by_pattern(names, argument, source), ()
    if kind == "time" and argument.isdecimal():
        return _by_time(names, int(argument), source), ()
    raise TrainersError(f"{source}: got the group rule {rule!r}, expected one of: {', '.join(GROUP_RULES)}")


def split_by_group(
    groups: Sequence[str], validation: float, seed: int, folds: int | None = None, fold: int = 0
) -> npt.NDArray[np.bool_]:
    """Which samples are for validation, (n,) bool; no group is on both sides. Raises TrainersError.

    groups: the group of each sample. validation: their share, met as closely as groups allow. folds: instead of a
    share, that many parts of about one size, of which number `fold`, counted from 0, is for validation.
    """
    sizes = Counter(groups)
    if not sizes:
        raise TrainersError("split: got no samples, expected at least two; look at what was left out of the labels")
    if len(sizes) == 1:
        raise TrainersError(
            f"split: got a single group, {groups[0]!r}, of {len(groups)} samples, which must not be divided; give a "
            "validation file, or, for one video, cut it by time with the group rule time:10"
        )
    order = sorted(sizes, key=lambda group: _shuffled(seed, group))
    if folds is None:
        if not 0 < validation < 1:
            raise TrainersError(f"split: got a validation share of {validation}, expected one between 0 and 1")
        chosen = _nearest_share(order, sizes, validation * len(groups))
    else:
        chosen = _balanced_fold(order, sizes, folds, fold)
    return np.array([group in chosen for group in groups], bool)


def _auto(images: Sequence[LabelledImage], source: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    several = len({_folder_group(image.file_name) for image in images}) > 1
    found = [_video_group(image) or (_folder_group(image.file_name) if several else None) for image in images]
    alone = found.count(None)
    note = (
        f"{source}: each of {alone} images is a group of its own, since nothing says which belong together; frames of "
        "one video need a group rule such as time:10, else neighbours stand in training and validation"
    )
    groups = tuple(group or _image_group(image.file_name) for group, image in zip(found, images, strict=True))
    return groups, (note,) if alone else ()


def _video_group(image: LabelledImage) -> str | None:
    if frame := _FRAME_STEM.fullmatch(PurePosixPath(image.file_name).stem):
        return f"video {frame[1]}"
    named = ((key, image.extra.get(key)) for key in _VIDEO_KEYS)
    return next((f"{key} {value}" for key, value in named if isinstance(value, str | int) and value != ""), None)


def _folder_group(name: str) -> str:
    return f"folder {PurePosixPath(name).parent}"


def _image_group(name: str) -> str:
    return f"image {name}"


def _by_pattern(names: Sequence[str], pattern: str, source: str) -> tuple[str, ...]:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise TrainersError(f"{source}: group rule: {pattern!r} is not a regular expression: {error}") from error
    groups = []
    for name in names:
        match = compiled.search(name)
        if match is None:
            raise TrainersError(
                f"{source}: group rule: {pattern!r} does not match {name!r}; every image must belong to a group"
            )
        groups.append(f"match {next((part for part in match.groups() if part is not None), match[0])}")
    return tuple(groups)


def _by_time(names: Sequence[str], blocks: int, source: str) -> tuple[str, ...]:
    """Consecutive blocks of about one size; numbers in names count as numbers."""
    if not 2 <= blocks <= len(names):
        raise TrainersError(
            f"{source}: group rule time:{blocks}: expected 2 to {len(names)} blocks, as many as it has images"
        )
    order = sorted(range(len(names)), key=lambda index: _natural(names[index]))
    groups = [""] * len(names)
    for place, index in enumerate(order):
        groups[index] = f"time {source} {place * blocks // len(names) + 1}/{blocks}"
    return tuple(groups)


def _natural(name: str) -> tuple[list[tuple[int, int, str]], str]:
    parts = re.split(r"(\d+)", name)
    return [(0, int(p), "") if p.isdecimal() else (1, 0, p.casefold()) for p in parts if p], name


def _shuffled(seed: int, group: str) -> bytes:
    """A place in an order that depends on the seed and the name alone."""
    return hashlib.sha256(f"{seed}:{group}".encode("utf-8", "surrogatepass")).digest()


def _nearest_share(order: Sequence[str], sizes: Counter[str], wanted: float) -> set[str]:
    """Groups whose samples number nearest to `wanted`; at least one group is taken and one is left."""
    total = sum(sizes.values())
    if len(order) * total > _EXACT_CELLS:
        return _first_that_fit(order, sizes, wanted)
    # Bit s of reachable[i] says that some of the first i groups have s samples together.
    reachable = [1]
    for group in order:
        reachable.append(reachable[-1] | reachable[-1] << sizes[group])
    sums = (s for distance in range(total) for s in (int(wanted) - distance, int(wanted) + 1 + distance))
    possible = (s for s in sums if 0 < s < total and reachable[-1] >> s & 1)
    first, second = next(possible), next(possible, 0)
    left = min(first, second or first, key=lambda s: abs(s - wanted))
    chosen = set()
    for number in range(len(order), 0, -1):
        if not reachable[number - 1] >> left & 1:
            chosen.add(order[number - 1])
            left -= sizes[order[number - 1]]
    return chosen


def _first_that_fit(order: Sequence[str], sizes: Counter[str], wanted: float) -> set[str]:
    chosen: set[str] = set()
    left = wanted
    for group in order:
        if sizes[group] <= left + 0.5 and len(chosen) < len(order) - 1:
            chosen.add(group)
            left -= sizes[group]
    return chosen or {min(order, key=lambda group: sizes[group])}


def _balanced_fold(order: Sequence[str], sizes: Counter[str], folds: int, fold: int) -> set[str]:
    """The largest group goes first, each to the fold that has least (Graham, 1969)."""
    if not 2 <= folds <= len(order):
        raise TrainersError(f"split: got {folds} folds, expected 2 to {len(order)}, as many as there are groups")
    if not 0 <= fold < folds:
        raise TrainersError(f"split: got fold {fold}, expected 0 to {folds - 1}")
    filled = [0] * folds
    members: list[set[str]] = [set() for _ in range(folds)]
    for group in sorted(order, key=lambda group: -sizes[group]):
        least = min(range(folds), key=lambda number: filled[number])
        filled[least] += sizes[group]
        members[least].add(group)
    return members[fold]
