"""Small videos in which somebody walks, and the command run as a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

PROGRAM = str(Path(sys.executable).with_name("annotator"))


def write_walk(path: Path, frames: int = 40, seed: int = 0, pts: Sequence[int] | None = None) -> Path:
    """Somebody in black crosses a picture of blocks; 10 frames a second unless `pts`, in tenths of a second, says."""
    noise = np.random.default_rng(seed).integers(60, 200, (15, 20, 3))
    backdrop = np.kron(noise, np.ones((8, 8, 1))).astype(np.uint8)
    with av.open(str(path), "w", options={"video_track_timescale": "10"}) as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "15", "g": "12", "bf": "2"})
        stream.pix_fmt, stream.width, stream.height = "yuv420p", 160, 120
        stream.codec_context.time_base = stream.time_base = Fraction(1, 10)
        for index in range(frames):
            image = backdrop.copy()
            image[30:110, index * 3 : index * 3 + 22] = 10
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = pts[index] if pts else index, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


class Picking:
    """`choose-frames --interactive` as a process, and the address that it prints."""

    def __init__(self, *arguments: object) -> None:
        command = [PROGRAM, "choose-frames", *map(str, arguments), "--interactive", "--no-browser"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.told: list[str] = []
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.told.append(line)
            if found := re.search(r"http://\S+", line):
                self.address = found[0]
                return
        raise AssertionError("".join(self.told))

    def __enter__(self) -> Picking:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def end(self) -> tuple[int, str, str]:
        """Exit code and what was printed, once it has ended by itself."""
        stdout, stderr = self.process.communicate(timeout=30)
        return self.process.returncode, stdout, stderr
