"""Small videos with known content, made when they are needed."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

VideoMaker = Callable[..., Path]


def picture(index: int, width: int, height: int) -> np.ndarray:
    """Texture that no other index has, and corners by which to see which way is up: red, green, blue, white."""
    noise = np.random.default_rng(index).integers(60, 190, (height // 8 + 1, width // 8 + 1, 3))
    image = np.kron(noise, np.ones((8, 8, 1)))[:height, :width].astype(np.uint8)
    half_height, half_width = height // 4, width // 4
    image[:half_height, :half_width] = (255, 0, 0)
    image[:half_height, -half_width:] = (0, 255, 0)
    image[-half_height:, :half_width] = (0, 0, 255)
    image[-half_height:, -half_width:] = (255, 255, 255)
    return image


@pytest.fixture
def make_video(tmp_path: Path) -> VideoMaker:
    """Make a video: make_video(name, pts=…, size=…, …) -> its path."""

    def make(
        name: str = "video.mp4",
        pts: Sequence[int] = range(30),
        size: tuple[int, int] = (96, 64),
        time_base: Fraction = Fraction(1, 30),
        codec: str = "libx264",
        options: dict[str, str] | None = None,
        rotation: int = 0,
        sample_aspect: Fraction | None = None,
        draw: Callable[[int, int, int], np.ndarray] = picture,
    ) -> Path:
        path = tmp_path / name
        # Without this the muxer would choose a finer time base of its own.
        muxing = {"video_track_timescale": str(time_base.denominator)} if path.suffix == ".mp4" else {}
        with av.open(str(path), "w", options=muxing) as container:
            rate = Fraction(1) / (time_base * max(1, pts[1] - pts[0])) if len(pts) > 1 else Fraction(30)
            stream = container.add_stream(codec, rate=rate, options=options or {"crf": "12"})
            stream.width, stream.height = size
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p" if size[0] % 2 == 0 else "yuv444p"
            stream.codec_context.time_base = stream.time_base = time_base
            if sample_aspect:
                stream.codec_context.sample_aspect_ratio = sample_aspect
            if rotation:
                stream.set_display_rotation(rotation)
            for index, stamp in enumerate(pts):
                frame = av.VideoFrame.from_ndarray(draw(index, *size), format="rgb24")
                frame.pts, frame.time_base = stamp, time_base
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return make
