"""The film as a video file, and the truth about it as a dataset."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from cvat_export.dataset import Category, Dataset, LabelledImage
from cvat_export.labels import Instance
from cvat_export.skeleton import read_skeleton
from demo.film import FRAME_RATE, HEIGHT, TIME_BASE, WIDTH, Person, film

CATEGORY = "person"


def write_footage(path: Path, progress: Callable[[int], object] = lambda _: None) -> Dataset:
    """Draw the film into an H.264 file; return the truth, its images named as `annotator choose-frames` names them.

    progress is called with 1 after each frame.
    """
    import av

    drawn = []
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"crf": "18", "preset": "veryfast"}
        stream.codec_context.thread_count = 1  # so that the bytes do not depend on the machine's cores
        for frame in film():
            picture = av.VideoFrame.from_ndarray(frame.image, format="rgb24")
            picture.pts, picture.time_base = frame.pts, TIME_BASE
            container.mux(stream.encode(picture))
            drawn.append((frame.pts, frame.people))
            progress(1)
        container.mux(stream.encode())
    source = f"{path.stem}-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}"
    skeleton = read_skeleton("coco17")
    images = tuple(
        LabelledImage(f"{source}-{pts}.jpg", WIDTH, HEIGHT, tuple(map(_instance, people))) for pts, people in drawn
    )
    return Dataset((Category(CATEGORY, skeleton),), images)


def _instance(person: Person) -> Instance:
    return Instance(
        CATEGORY, person.bbox_xyxy, person.xy, person.visibility, extra={"visible_px": person.area}
    )
