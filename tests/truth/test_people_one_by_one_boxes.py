"""The hand-drawn boxes belong to the video that they say."""

from pathlib import Path

import pytest

from cvat_export.coco import read_coco
from frame_tools.frame import frame_file_name
from frame_tools.video import open_video

BOXES = Path(__file__).with_name("people_one_by_one_boxes.json")


def test_the_boxes_are_inside_their_frames() -> None:
    images = read_coco(BOXES).images
    assert len(images) == 50
    assert sum(not image.instances for image in images) == 11
    for image in images:
        for person in image.instances:
            x1, y1, x2, y2 = person.bbox_xyxy
            assert 0 <= x1 < x2 <= image.width
            assert 0 <= y1 < y2 - 24 < image.height


@pytest.mark.shared_data
def test_the_frames_are_those_of_the_video_evenly_spaced(shared_data: Path) -> None:
    with open_video(shared_data / "videos" / "people_one_by_one.mp4") as video:
        pts = video.packet_pts()
        names = [frame_file_name("people_one_by_one", video.frame_id(p), ".jpg") for p in sorted(pts)]
    chosen = [names[int((k + 0.5) * len(names) / 50)] for k in range(50)]
    assert [image.file_name for image in read_coco(BOXES).images] == chosen
