"""Labels checked before a training: what the files say, and what their pictures show."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from annotator.errors import AnnotatorError
from cvat_export.errors import CvatExportError
from cvat_export.skeleton import Skeleton
from trainers.errors import TrainersError
from trainers.image_files import ImageRef
from trainers.label_problems import TINY_PX, find_problems, in_order, problems_between
from trainers.label_sources import LabelledData, LabelSource, inspect_labels
from trainers.near_doubles import PicturePrint, alike, picture_print
from trainers.problem import Problem

Progress = Callable[[int], object]


@dataclass(frozen=True)
class CheckRequest:
    """What to check. validation: what is kept for measuring; compared with `training`, and checked like it."""

    training: Sequence[LabelSource]
    validation: Sequence[LabelSource] = ()
    skeleton: Skeleton | None = None
    category: str | None = None
    tiny_px: float = TINY_PX


@dataclass(frozen=True)
class Checked:
    """What was found in one set of labels, worst first. twins: for an image that is there twice, the other one."""

    data: LabelledData
    problems: tuple[Problem, ...]
    twins: Mapping[str, ImageRef] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Set:
    """Labels, and the prints of those of their images that can be read."""

    data: LabelledData
    problems: list[Problem]
    prints: dict[str, PicturePrint]


def check_labels(
    request: CheckRequest, progress: Callable[[int, str], Progress] = lambda total, name: lambda done: None
) -> tuple[Checked, Checked | None]:
    """The training's labels and the validation's, checked. progress: told the number of images, gives its counter.

    Raises TrainersError or CvatExportError for a file that cannot be read at all.
    """
    training = _read_set(request, request.training, progress, "training")
    if not request.validation:
        return _checked(training, *_doubles(training)), None
    skeleton, category = training.data.skeleton, request.category or training.data.category
    same_skeleton = CheckRequest(request.training, (), skeleton, category, request.tiny_px)
    validation = _read_set(same_skeleton, request.validation, progress, "validation")
    pairs = list(_in_both(training, validation))
    across = problems_between(training.data, validation.data, pairs)
    problems, twins = _doubles(validation)
    seen = {second: training.data.files[first] for first, second in reversed(pairs)}
    return _checked(training, *_doubles(training)), _checked(validation, [*problems, *across], {**twins, **seen})


def _read_set(
    request: CheckRequest,
    sources: Sequence[LabelSource],
    progress: Callable[[int, str], Progress],
    name: str,
) -> _Set:
    data, problems = inspect_labels(sources, request.skeleton, request.category)
    if not data.images:
        raise AnnotatorError(f"{', '.join(str(s.path) for s in sources)}: got no image, expected at least one")
    count = progress(len(data.files), name)
    found = [*problems, *find_problems(data, request.tiny_px)]
    prints: dict[str, PicturePrint] = {}
    with ThreadPoolExecutor(os.process_cpu_count() if hasattr(os, "process_cpu_count") else os.cpu_count()) as pool:
        for file_name, result in zip(data.files, pool.map(_print, data.files.values()), strict=True):
            if isinstance(result, str):
                found.append(Problem("unreadable_image", "error", result, "copy it again", file_name))
            else:
                prints[file_name] = result
            count(1)
    return _Set(data, found, prints)


def _print(ref: ImageRef) -> PicturePrint | str:
    try:
        return picture_print(ref)
    except (TrainersError, CvatExportError, OSError) as error:
        return str(error)


def _checked(one: _Set, more: Iterable[Problem], twins: Mapping[str, ImageRef]) -> Checked:
    return Checked(one.data, tuple(in_order([*one.problems, *more])), twins)


def _doubles(one: _Set) -> tuple[list[Problem], dict[str, ImageRef]]:
    """Each image that is like an earlier one of the set, with the first such."""
    names = list(one.prints)
    first: dict[int, int] = {}
    for index, others in _alike(one.prints.values()):
        for other in others.tolist():
            earlier, later = sorted((index, other))
            first[later] = min(earlier, first.get(later, earlier))
    problems = []
    for later, earlier in sorted(first.items()):
        same = one.prints[names[later]].sha256 == one.prints[names[earlier]].sha256
        kind, words = ("same_image_twice", "the same file as") if same else ("near_image_twice", "hardly differs from")
        fix = "label a picture once: leave one out" if same else "leave one out: it teaches nothing new"
        problems.append(Problem(kind, "warning", f"{words} {names[earlier]}", fix, names[later]))
    return problems, {names[later]: one.data.files[names[earlier]] for later, earlier in first.items()}


def _in_both(training: _Set, validation: _Set) -> Iterable[tuple[str, str]]:
    """Pairs of names, of training and of validation, whose pictures are alike."""
    names = [*training.prints, *validation.prints]
    boundary = len(training.prints)
    for index, others in _alike([*training.prints.values(), *validation.prints.values()]):
        for other in others.tolist():
            earlier, later = sorted((index, other))
            if earlier < boundary <= later:
                yield names[earlier], names[later]


def _alike(prints: Iterable[PicturePrint]) -> Iterable[tuple[int, np.ndarray]]:
    cells = [one.cells for one in prints]
    return alike(np.stack(cells)) if cells else ()
