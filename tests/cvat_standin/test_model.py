"""Whatever is done in whatever order, the stand-in keeps the annotations that a simple model says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from cvat_sdk import models
from cvat_sdk.core.client import Client
from cvat_sdk.core.exceptions import BackgroundRequestException
from cvat_sdk.core.proxies.annotations import AnnotationUpdateAction
from cvat_sdk.core.proxies.tasks import Task
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from demo.cvat_standin import StandInServer
from tests.cvat_standin.studio import FORMAT, JOINTS, coco, connected, new_task, read_archive, write_archive

NAMES = ("a.png", "b.png", "c.png")
UNKNOWN_ID = 10**9
FRAMES = st.integers(0, len(NAMES) - 1)
COORDINATES = st.floats(-50, 500, allow_nan=False).map(lambda value: round(value, 4))
POSES = st.lists(
    st.tuples(COORDINATES, COORDINATES, st.integers(0, 2)), min_size=len(JOINTS), max_size=len(JOINTS)
).map(tuple)
PUSHED = st.lists(st.tuples(FRAMES, POSES), max_size=4)
OPERATIONS = st.one_of(
    st.tuples(st.just("create"), FRAMES, POSES),
    st.tuples(st.just("update"), st.integers(0, 20), POSES),
    st.tuples(st.just("delete"), st.integers(0, 20)),
    st.tuples(st.just("delete_unknown")),
    st.tuples(st.just("rectangle"), FRAMES),
    st.tuples(st.just("replace"), PUSHED),
    st.tuples(st.just("append"), PUSHED),
    st.tuples(st.just("fail"), PUSHED),
)
NUMBERS = count()


@dataclass(frozen=True)
class Studio:
    server: StandInServer
    client: Client
    folder: Path

    def new_path(self) -> Path:
        return self.folder / f"{next(NUMBERS)}.zip"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with StandInServer() as server, connected(server) as client:
        server.state.polls = 0
        yield Studio(server, client, tmp_path_factory.mktemp("studio"))


@dataclass
class Model:
    """The oracle: skeletons by id as (frame, pose, source); rectangles' ids by frame."""

    studio: Studio
    task: Task
    skeletons: dict[int, tuple[int, tuple[Any, ...], str]] = field(default_factory=dict)
    rectangles: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.label,) = self.task.get_labels()

    def create(self, frame: int, pose: tuple[Any, ...]) -> None:
        request = models.PatchedLabeledDataRequest(shapes=[self._request(frame, pose)])
        self.task.update_annotations(request, action=AnnotationUpdateAction.CREATE)
        (new,) = self._listed_ids() - set(self.skeletons) - set(self.rectangles)
        self.skeletons[new] = (frame, pose, "manual")

    def update(self, choice: int, pose: tuple[Any, ...]) -> None:
        if not self.skeletons:
            return
        chosen = sorted(self.skeletons)[choice % len(self.skeletons)]
        frame, _, source = self.skeletons[chosen]
        request = self._request(frame, pose, id=chosen, source=source)
        self.task.update_annotations(models.PatchedLabeledDataRequest(shapes=[request]))
        self.skeletons[chosen] = (frame, pose, source)

    def delete(self, choice: int) -> None:
        if not self.skeletons:
            return
        chosen = sorted(self.skeletons)[choice % len(self.skeletons)]
        self.task.remove_annotations(ids=[chosen])
        del self.skeletons[chosen]

    def delete_unknown(self) -> None:
        request = models.PatchedLabeledDataRequest(shapes=[self._request(0, ((1, 1, 2),) * 3, id=UNKNOWN_ID)])
        self.task.update_annotations(request, action=AnnotationUpdateAction.DELETE)

    def rectangle(self, frame: int) -> None:
        new = self.studio.server.state.add_rectangle(self.task.id, frame, self.label.name, (1, 2, 3, 4))
        self.rectangles[new] = frame

    def replace(self, pushed: list[tuple[int, tuple[Any, ...]]]) -> None:
        self._import(pushed)
        self.skeletons, self.rectangles = {}, {}
        self._learn(pushed)

    def append(self, pushed: list[tuple[int, tuple[Any, ...]]]) -> None:
        self._import(pushed, import_mode="append")
        self._learn(pushed)

    def fail(self, pushed: list[tuple[int, tuple[Any, ...]]]) -> None:
        with pytest.raises(BackgroundRequestException):
            self._import(pushed, names=("unknown.png", *NAMES))

    def check(self) -> None:
        listed = self.task.get_annotations().shapes
        assert [shape.frame for shape in listed] == sorted(shape.frame for shape in listed)
        assert {shape.id for shape in listed} == set(self.skeletons) | set(self.rectangles)
        for shape in (shape for shape in listed if shape.id in self.skeletons):
            assert (shape.frame, self._pose(shape), shape.source) == self.skeletons[shape.id]
        self._check_export([shape.id for shape in listed if shape.id in self.skeletons])

    def _check_export(self, listed: list[int]) -> None:
        path = self.task.export_dataset(FORMAT, self.studio.new_path(), include_images=False)
        exported = read_archive(path)
        assert [image["file_name"] for image in exported["images"]] == list(NAMES)
        assert [row["id"] for row in exported["annotations"]] == list(range(1, len(listed) + 1))
        for row, shape_id in zip(exported["annotations"], listed, strict=True):
            frame, pose, _ = self.skeletons[shape_id]
            rounded = [(round(x, 2), round(y, 2), v) for x, y, v in pose]
            assert row["image_id"] == frame + 1
            assert row["keypoints"] == [value for joint in rounded for value in joint]
            assert row["num_keypoints"] == sum(v > 0 for *_, v in pose)
            xs, ys = ([joint[axis] for joint in rounded if joint[2]] or [0] for axis in (0, 1))
            hull = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
            assert row["bbox"] == pytest.approx(hull, abs=1e-6)

    def _import(self, pushed: list[Any], names: tuple[str, ...] = NAMES, **options: Any) -> None:
        rows = [
            {"image_id": frame + 1, "keypoints": [value for joint in pose for value in joint]} for frame, pose in pushed
        ]
        path = write_archive(self.studio.new_path(), coco(names, rows))
        self.task.import_annotations(FORMAT, path, **options)

    def _learn(self, pushed: list[tuple[int, tuple[Any, ...]]]) -> None:
        """New ids fall in the order of an image's annotations: its last came into the database first."""
        known = max([*self.skeletons, *self.rectangles], default=0)
        new = self._listed_ids() - set(self.skeletons) - set(self.rectangles)
        assert len(new) == len(pushed)
        assert not new or min(new) > known
        frames = {shape.id: shape.frame for shape in self.task.get_annotations().shapes}
        for frame in range(len(NAMES)):
            ids = sorted((shape_id for shape_id in new if frames[shape_id] == frame), reverse=True)
            poses = [pose for pushed_frame, pose in pushed if pushed_frame == frame]
            for shape_id, pose in zip(ids, poses, strict=True):
                rounded = tuple((round(x, 2), round(y, 2), v) for x, y, v in pose)
                self.skeletons[shape_id] = (frame, rounded, "file")

    def _listed_ids(self) -> set[int]:
        return {shape.id for shape in self.task.get_annotations().shapes}

    def _request(self, frame: int, pose: tuple[Any, ...], **fields: Any) -> models.LabeledShapeRequest:
        label = self.label
        elements = [
            models.SubLabeledShapeRequest(
                type="points",
                frame=frame,
                label_id=sublabel.id,
                points=[x, y],
                occluded=visibility == 1,
                outside=visibility == 0,
            )
            for sublabel, (x, y, visibility) in zip(label.sublabels, pose, strict=True)
        ]
        return models.LabeledShapeRequest(type="skeleton", frame=frame, label_id=label.id, elements=elements, **fields)

    def _pose(self, shape: models.LabeledShape) -> tuple[Any, ...]:
        label = self.label
        elements = {element.label_id: element for element in shape.elements}
        assert len(elements) == len(shape.elements)
        poses = []
        for sublabel in label.sublabels:
            element = elements[sublabel.id]
            poses.append((*element.points, 0 if element.outside else 1 if element.occluded else 2))
        return tuple(poses)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(operations=st.lists(OPERATIONS, max_size=6), segment_size=st.integers(1, 3))
def test_any_sequence_of_changes_agrees_with_the_model(
    studio: Studio, operations: list[tuple[Any, ...]], segment_size: int
) -> None:
    model = Model(studio, new_task(studio.client, studio.folder, NAMES, segment_size=segment_size))
    for name, *arguments in operations:
        getattr(model, name)(*arguments)
        model.check()
    studio.client.projects.retrieve(model.task.project_id).remove()
