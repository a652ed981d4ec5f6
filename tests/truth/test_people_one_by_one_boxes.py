"""The hand-drawn boxes belong to the video that they say, and two labellers agree."""

from pathlib import Path

import pytest

from cvat_export.coco import read_coco
from cvat_export.labels import box_iou
from frame_tools.frame import frame_file_name
from frame_tools.video import open_video

BOXES = Path(__file__).with_name("people_one_by_one_boxes.json")
SECOND = Path(__file__).with_name("people_one_by_one_second.json")


def test_the_boxes_are_inside_their_frames() -> None:
    images = read_coco(BOXES).images
    assert len(images) == 100
    assert sum(not image.instances for image in images) == 22
    for image in images:
        for person in image.instances:
            x1, y1, x2, y2 = person.bbox_xyxy
            assert 0 <= x1 < x2 <= image.width
            assert 0 <= y1 < y2 - 24 < image.height


def test_a_second_labeller_drew_the_same_boxes() -> None:
    """In frames without people too; the boxes differ by as little as they were drawn to."""
    first = {image.file_name: image.instances for image in read_coco(BOXES).images}
    second = read_coco(SECOND).images
    assert len(second) == 20
    assert [len(image.instances) for image in second] == [len(first[image.file_name]) for image in second]
    pairs = [(a, b) for image in second for a, b in zip(image.instances, first[image.file_name], strict=True)]
    assert len(pairs) == 16
    assert min(float(box_iou(a.bbox_xyxy, [b.bbox_xyxy])[0]) for a, b in pairs) > 0.97


@pytest.mark.shared_data
def test_the_frames_are_those_of_the_video_evenly_spaced(shared_data: Path) -> None:
    with open_video(shared_data / "videos" / "people_one_by_one.mp4") as video:
        pts = video.packet_pts()
        names = [frame_file_name("people_one_by_one", video.frame_id(p), ".jpg") for p in sorted(pts)]
    chosen = [names[min(k * len(names) // 100, len(names) - 1)] for k in range(1, 101)]
    assert [image.file_name for image in read_coco(BOXES).images] == chosen
