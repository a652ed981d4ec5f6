"""Frames -> an MP4 file with their exact times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, BinaryIO

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from frame_tools.errors import FrameToolsError
from frame_tools.frame import Frame, RgbImage

ENCODERS = {  # name -> options; the first that this build of FFmpeg has is taken
    # Without mbtree: on processors with AVX-512 it gives other bytes from run to run.
    "libx264": {"crf": "18", "preset": "veryfast", "x264-params": "mbtree=0"},
    "libopenh264": {"b": "12M"},
    "mpeg4": {"qscale": "3"},
}


class VideoWriter:
    """Takes frames in order; the first one is shown at time 0, the others as much later as in the source.

    Sizes must be even for 4:2:0: an odd last row or column is doubled, which moves no coordinate.
    """

    def __init__(self, container: av.container.OutputContainer) -> None:
        self._container = container
        self._stream: Any = None
        self._first_pts = 0
        self._size = (0, 0)

    def write(self, frame: Frame) -> None:
        """Encode one more frame. Raises FrameToolsError when its size is not the first one's."""
        image = _even(frame.image)
        height, width = image.shape[:2]
        if self._stream is None:
            self._begin(frame, width, height)
        if (width, height) != self._size:
            raise FrameToolsError(
                f"frame {frame.ordinal}: {width}×{height} px, expected {self._size[0]}×{self._size[1]} as before; "
                "a video that changes its size cannot become one clip: write pictures instead"
            )
        picture = av.VideoFrame.from_ndarray(image, format="rgb24")
        picture = picture.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU601)
        picture.pts, picture.time_base = frame.id.pts - self._first_pts, frame.time_base
        self._container.mux(self._stream.encode(picture))

    def finish(self) -> None:
        """Write what the encoder still holds."""
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))

    def _begin(self, frame: Frame, width: int, height: int) -> None:
        name = next(name for name in ENCODERS if name in av.codecs_available)
        self._first_pts, self._size = frame.id.pts, (width, height)
        self._stream = self._container.add_stream(name, options=ENCODERS[name])
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
        codec = self._stream.codec_context
        codec.time_base = self._stream.time_base = Fraction(frame.time_base)
        codec.max_b_frames = 0  # so that decoding and presentation begin together, at 0
        codec.colorspace, codec.color_range = Colorspace.ITU601, ColorRange.MPEG


@contextmanager
def video_writer(stream: BinaryIO) -> Iterator[VideoWriter]:
    """A writer of MP4 into a seekable binary stream."""
    with av.open(stream, "w", format="mp4") as container:
        writer = VideoWriter(container)
        yield writer
        writer.finish()


def _even(image: RgbImage) -> RgbImage:
    height, width = image.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return image
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
