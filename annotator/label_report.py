"""report.html of checked labels: what would hurt a training, drawn, the worst first."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from annotator.job_links import pulled_links
from annotator.proposal_outcomes import video_facet
from annotator.report import PICTURES, REPORT_FILE, Tile, contact_sheet, section, table, write_page
from annotator.report_charts import charts, histogram
from cvat_export.atomic import write_bytes
from cvat_export.dataset import LabelledImage
from cvat_export.drawing import DrawingStyle, RgbImage, draw_instances
from cvat_export.errors import CvatExportError
from cvat_export.labels import Instance
from cvat_export.skeleton import Skeleton
from frame_tools.errors import FrameToolsError
from frame_tools.images import encode_image, shrink
from trainers.image_files import ImageRef
from trainers.label_problems import KINDS, count_joints
from trainers.label_sources import LabelledData
from trainers.problem import Problem

_PICTURE_SIDE_PX = 640
_MARGIN = 0.35  # of the longer side of a subject, around it
_LEAST_SIDE_PX = 96  # of what is shown around a small subject
_OUTSIDE_SHARE = 0.3  # of the image's size, shown around it for joints that lie there
_GAP_PX = 8
_GREY = 128

_Key = tuple[str, int | None]


def write_label_report(
    out: Path, data: LabelledData, problems: Sequence[Problem], pictures: int, twins: Mapping[str, ImageRef]
) -> None:
    """Write OUT/report.html with at most `pictures` of the problems. twins: the other picture of a double."""
    (out / PICTURES).mkdir(parents=True, exist_ok=True)
    shown = choose_shown(problems, pictures)
    images = {image.file_name: image for image in data.images}
    by_place: dict[_Key, list[Problem]] = defaultdict(list)
    for problem in problems:
        if problem.file_name is not None:
            by_place[problem.file_name, problem.instance].append(problem)
    painter = _Painter(out, data, images, twins)
    with ThreadPoolExecutor() as pool:
        tiles = list(
            pool.map(lambda place: painter.tile(place, shown[place], by_place[shown[place]]), range(len(shown)))
        )
    general = [(p.severity, p.text, p.fix) for p in problems if p.file_name is None]
    more = len(by_place) - len(tiles)
    left_out = f" Not drawn, in problems.jsonl: {more}." if more > 0 else ""
    sections = [section("Kinds", _kind_table(problems))]
    if general:
        sections.append(section("All labels", table(("", "found", "what to do"), general)))
    if tiles:
        sections.append(
            contact_sheet(
                "Problems, worst first",
                tiles,
                lead="Left is blue, right is orange, a ring is an occluded joint. Each kind has its share of the "
                f"pictures.{left_out}",
            )
        )
    if data.notes:
        sections.append(section("Left out and noted", table(("",), [(note,) for note in data.notes])))
    sections.append(section("Joints", _joint_table(data), charts(*_histograms(data))))
    severities = Counter(problem.severity for problem in problems)
    summary = {
        "images": len(data.images),
        f"{data.category} to train on": len(data.samples),
        "groups": len(set(data.groups.values())),
        "errors": severities["error"],
        "warnings": severities["warning"],
    }
    lead = "Rules saw these: hints, not verdicts. An error stops or spoils a training."
    write_page(out / REPORT_FILE, f"Check of {data.category} labels", lead, summary, sections)


def choose_shown(problems: Sequence[Problem], pictures: int) -> list[_Key]:
    """Which images or subjects get a picture: kinds take turns, so that none fills the page; then worst first."""
    queues: dict[str, list[_Key]] = defaultdict(list)
    for problem in problems:
        if problem.file_name is not None:
            queues[problem.kind].append((problem.file_name, problem.instance))
    chosen: dict[_Key, None] = {}
    rounds = max(map(len, queues.values()), default=0)
    for turn in range(rounds):
        for queue in queues.values():
            if turn < len(queue) and len(chosen) < pictures:
                chosen[queue[turn]] = None
    worst: dict[_Key, int] = {}
    for place, problem in enumerate(problems):
        if problem.file_name is not None:
            worst.setdefault((problem.file_name, problem.instance), place)
    return sorted(chosen, key=lambda key: worst[key])


class _Painter:
    """Pictures of problems, written into a report's folder."""

    def __init__(
        self, out: Path, data: LabelledData, images: Mapping[str, LabelledImage], twins: Mapping[str, ImageRef]
    ) -> None:
        self.out, self.data, self.images, self.twins = out, data, images, twins
        self.links = pulled_links(data.files)

    def tile(self, number: int, key: _Key, problems: Sequence[Problem]) -> Tile:
        file_name, position = key
        try:
            pixels = self._picture(file_name, position, problems)
        except (FrameToolsError, CvatExportError, OSError):
            pixels = None
        name = f"{number:04}.jpg"
        shown = pixels if pixels is not None else np.full((120, 160, 3), _GREY, np.uint8)
        write_bytes(self.out / PICTURES / name, encode_image(shown, ".jpg", quality=80))
        which = f", number {position}" if position is not None else ""
        return Tile(
            picture=f"{PICTURES}/{name}",
            title=f"{file_name}{which}",
            lines=tuple(dict.fromkeys(problem.text for problem in problems)),
            facets={
                **video_facet(self.data.groups.get(file_name, ""), file_name),
                "problem": tuple(dict.fromkeys(problem.kind for problem in problems)),
                "severity": tuple(dict.fromkeys(problem.severity for problem in problems)),
            },
            links=self.links.get(file_name, ()),
        )

    def _picture(self, file_name: str, position: int | None, problems: Sequence[Problem]) -> RgbImage | None:
        ref, image = self.data.files.get(file_name), self.images.get(file_name)
        if ref is None:
            return None
        pixels = ref.read()
        if image is None:
            return self._beside_twin(pixels, file_name)
        if position is None:
            drawn = draw_instances(pixels, image.instances, self.data.skeleton, DrawingStyle())
            return self._beside_twin(drawn, file_name)
        subject = image.instances[position - 1]
        crowd = {problem.kind for problem in problems} & {"doubles"}
        return close_up(pixels, subject, image.instances if crowd else (subject,), self.data.skeleton)

    def _beside_twin(self, pixels: RgbImage, file_name: str) -> RgbImage:
        pictures = [pixels]
        if twin := self.twins.get(file_name):
            pictures.append(twin.read())
        height = min(picture.shape[0] for picture in pictures)
        scaled = []
        for picture in pictures:
            width = max(1, round(picture.shape[1] * height / picture.shape[0]))
            scaled += [np.full((height, _GAP_PX, 3), 255, np.uint8), _resize(picture, width, height)]
        return shrink(np.hstack(scaled[1:]), _PICTURE_SIDE_PX)


def close_up(pixels: RgbImage, subject: Instance, drawn: Iterable[Instance], skeleton: Skeleton) -> RgbImage:
    """What is around a subject, enlarged, with `drawn` on it; grey outside the image."""
    height, width = pixels.shape[:2]
    size = np.array([width, height], np.float64)
    points = np.concatenate([subject.bbox_xyxy.reshape(2, 2), subject.xy[subject.labelled]]).astype(np.float64)
    points = np.clip(points, -_OUTSIDE_SHARE * size, (1 + _OUTSIDE_SHARE) * size)
    low, high = points.min(axis=0), points.max(axis=0)
    half = max(float((high - low).max()) * (0.5 + _MARGIN), _LEAST_SIDE_PX / 2)
    middle = (low + high) / 2
    # Not beyond the image, except for what lies there itself.
    x1, y1 = np.floor(np.maximum(middle - half, np.minimum(low - 2, 0))).astype(int)
    x2, y2 = np.ceil(np.minimum(middle + half, np.maximum(high + 2, size))).astype(int)
    canvas = np.full((y2 - y1, x2 - x1, 3), _GREY, np.uint8)
    inner = max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)
    if inner[0] < inner[2] and inner[1] < inner[3]:
        part = pixels[inner[1] : inner[3], inner[0] : inner[2]]
        canvas[inner[1] - y1 : inner[3] - y1, inner[0] - x1 : inner[2] - x1] = part
    scale = _PICTURE_SIDE_PX / max(canvas.shape[:2])
    canvas = _resize(canvas, max(1, round(canvas.shape[1] * scale)), max(1, round(canvas.shape[0] * scale)))
    moved = [_moved(instance, x1, y1, scale) for instance in drawn]
    return draw_instances(canvas, moved, skeleton, DrawingStyle())


def _moved(instance: Instance, x: int, y: int, scale: float) -> Instance:
    origin = np.array([x, y], np.float32)
    return replace(
        instance,
        bbox_xyxy=(instance.bbox_xyxy - np.tile(origin, 2)) * np.float32(scale),
        xy=(instance.xy - origin) * np.float32(scale),
    )


def _resize(pixels: RgbImage, width: int, height: int) -> RgbImage:
    kind = cv2.INTER_AREA if width < pixels.shape[1] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=kind), np.uint8)


def _kind_table(problems: Sequence[Problem]) -> str:
    counts = Counter((problem.severity, problem.kind) for problem in problems)
    fixes = {problem.kind: problem.fix for problem in reversed(problems)}
    rows = [(severity, kind, count, KINDS[kind], fixes[kind]) for (severity, kind), count in counts.items()]
    return table(("", "kind", "count", "meaning", "what to do"), rows) if rows else "<p>nothing found</p>"


def joint_rows(data: LabelledData) -> list[dict[str, object]]:
    """A row a joint: of how many subjects it is labelled, occluded, outside the image."""
    counts = count_joints(data)
    columns = (counts.labelled.tolist(), counts.occluded.tolist(), counts.outside.tolist())
    return [
        {"joint": joint, "labelled": labelled, "occluded": occluded, "outside": outside}
        for joint, labelled, occluded, outside in zip(data.skeleton.joints, *columns, strict=True)
    ]


def _joint_table(data: LabelledData) -> str:
    subjects = max(1, len(data.samples))
    counts = count_joints(data)
    rows = [
        (
            joint,
            f"{labelled} ({labelled / subjects:.0%})",
            f"{occluded / max(1, labelled):.0%}",
            outside,
            data.skeleton.joints[twin] if twin != index else "-",
            f"{data.skeleton.sigmas[index]:g}",
        )
        for index, (joint, labelled, occluded, outside, twin) in enumerate(
            zip(
                data.skeleton.joints,
                counts.labelled.tolist(),
                counts.occluded.tolist(),
                counts.outside.tolist(),
                data.skeleton.flip_order,
                strict=True,
            )
        )
    ]
    return table(("joint", "labelled", "of these occluded", "outside the image", "mirrored", "sigma"), rows)


def _histograms(data: LabelledData) -> list[str]:
    boxes: npt.NDArray[np.float32] = np.array([s.instance.bbox_xyxy for s in data.samples], np.float32).reshape(-1, 4)
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1) if len(boxes) else np.zeros(0)
    joints = [int(sample.instance.labelled.sum()) for sample in data.samples]
    most = float(np.quantile(sides, 0.99)) if len(sides) else 1.0
    return [
        histogram("longer side of a subject, px", sides, 0, max(most, 1.0)),
        histogram("labelled joints of a subject", joints, 0, len(data.skeleton.joints)),
    ]
