"""The film as a video file, and the truth about it as a dataset."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from tqdm import tqdm

from cvat_export.atomic import write_bytes
from cvat_export.coco import encode_coco
from cvat_export.dataset import Category, Dataset, LabelledImage
from cvat_export.labels import Instance
from cvat_export.skeleton import read_skeleton
from demo.film import FRAME_RATE, HEIGHT, TIME_BASE, WIDTH, Frame, Person, Scene, film, frame_count
from frame_tools.frame import FrameId, frame_file_name
from frame_tools.video_writer import ENCODERS

CATEGORY = "person"


def draw_footage(video: Path, truth: Path | None, shots: Sequence[Scene] | None = None) -> None:
    """Draw a film, by default the demo's, as a video file, and what is true of it as COCO; with a progress bar."""
    video.parent.mkdir(parents=True, exist_ok=True)
    frames = tqdm(film(shots), total=frame_count(shots), desc="drawing", unit="frame", disable=None)
    dataset = write_footage(video, frames)
    if truth is not None:
        write_bytes(truth, encode_coco(dataset))


def write_footage(path: Path, frames: Iterable[Frame] | None = None) -> Dataset:
    """Encode frames, by default the whole film, as H.264 in an MP4 file, and return the truth about them.

    The truth's images are named as `annotator choose-frames` names them.
    """
    import av

    drawn = []
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE, options=ENCODERS["libx264"])
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 2  # of any machine: the bytes depend on it
        for frame in film() if frames is None else frames:
            picture = av.VideoFrame.from_ndarray(frame.image, format="rgb24")
            picture.pts, picture.time_base = frame.pts, TIME_BASE
            container.mux(stream.encode(picture))
            drawn.append((frame.pts, frame.people))
        container.mux(stream.encode())
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    images = tuple(
        LabelledImage(
            frame_file_name(path.stem, FrameId(sha256, pts), ".jpg"), WIDTH, HEIGHT, tuple(map(instance_of, people))
        )
        for pts, people in drawn
    )
    return Dataset((footage_category(),), images)


def footage_category() -> Category:
    """What the figures are."""
    return Category(CATEGORY, read_skeleton("coco17"))


def instance_of(person: Person) -> Instance:
    """A figure as a label."""
    return Instance(CATEGORY, person.bbox_xyxy, person.xy, person.visibility, extra={"visible_px": person.area})
