"""Any frame of an hour-long video: seconds from the wish to the upright RGB frame, and whether it is the right one.

    python -m benchmarks.seek [VIDEO…] [--minutes 60] [--jumps 60] [--threads N] [--check]

Each VIDEO is repeated to that length without being encoded anew, so that its groups of pictures stay what they are;
from the first, two more are encoded, with a keyframe every 10 seconds and every 60. Jumps go to frames drawn by lot;
steps back are 60 in a row from each of five places. --check holds every frame against that of a pass from the start,
which takes minutes for each video. Without VIDEO, the demo's own footage is taken. ffmpeg is needed.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import tempfile
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

from benchmarks.tables import markdown
from frame_tools.frame import Frame
from frame_tools.seeking import FrameIndex, Seeker, index_of
from frame_tools.video import Video, open_video

_GROUPS_SECONDS = (10, 60)
_PLACES, _STEPS = 5, 60


@dataclass(frozen=True)
class Timed:
    """Seconds of each wish, and how many of the frames were wrong."""

    seconds: list[float]
    wrong: int

    def cells(self) -> list[str]:
        """Median, 95th percentile and most, in milliseconds."""
        highest = statistics.quantiles(self.seconds, n=20)[-1]
        return [f"{1000 * value:.0f}" for value in (statistics.median(self.seconds), highest, max(self.seconds))]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", type=Path)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--jumps", type=int, default=60)
    parser.add_argument("--threads", type=int, default=0, help="of the decoder [default: what it takes by itself]")
    parser.add_argument("--check", action="store_true", help="count frames that are not those of a pass")
    options = parser.parse_args()
    header = ["video", "frames", "longest group, s", "index, s", "jump, median ms", "95 %", "most"]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for path in long_videos(options.videos or [_drawn(Path(folder))], options.minutes, Path(folder)):
            rows.append(measure(path, options.jumps, options.threads, options.check))
            path.unlink()
    print(markdown([*header, "step back, median ms", "95 %", "most", "wrong frames"], rows))


def long_videos(videos: list[Path], minutes: float, folder: Path) -> list[Path]:
    """Files of that length: each video repeated, and the first with rare keyframes."""
    made = [repeated(path, minutes, folder / f"{path.stem}.mp4") for path in videos]
    for seconds in _GROUPS_SECONDS:
        once = folder / "once.mp4"
        rate = open_video(videos[0]).facts.frame_rate or 25
        keys = ["-g", str(round(rate * seconds)), "-keyint_min", str(round(rate * seconds)), "-sc_threshold", "0"]
        coding = ["-an", "-c:v", "libx264", "-preset", "veryfast", *keys]
        _ffmpeg(["-stream_loop", "-1", "-i", str(videos[0]), "-t", "120", *coding, str(once)])
        made.append(repeated(once, minutes, folder / f"{videos[0].stem}, a keyframe in {seconds} s.mp4"))
    return made


def repeated(path: Path, minutes: float, target: Path) -> Path:
    """The video over and over, its packets as they are."""
    _ffmpeg(["-stream_loop", "-1", "-i", str(path), "-t", str(60 * minutes), "-an", "-c", "copy", str(target)])
    return target


def measure(path: Path, jumps: int, threads: int, check: bool) -> list[str]:
    """One row."""
    video = open_video(path, threads)
    started = time.perf_counter()
    index = index_of(video)
    indexed = time.perf_counter() - started
    draw = random.Random(0)
    places = [draw.randrange(len(index)) for _ in range(jumps)]
    starts = [draw.randrange(min(_STEPS, len(index) - 1), len(index)) for _ in range(_PLACES)]
    back = [range(start, max(-1, start - _STEPS), -1) for start in starts]
    true = passed_over(video, {*places, *(place for steps in back for place in steps)}) if check else {}
    jumped = timed(Seeker(video, index), places, true)
    stepped = [timed_steps(video, index, list(steps), true) for steps in back]
    all_steps = Timed([s for one in stepped for s in one.seconds], sum(one.wrong for one in stepped))
    facts = [path.stem, str(len(index)), f"{index.longest_group_seconds:.1f}", f"{indexed:.2f}"]
    return [*facts, *jumped.cells(), *all_steps.cells(), str(jumped.wrong + all_steps.wrong) if check else "-"]


def passed_over(video: Video, places: set[int]) -> dict[int, int]:
    """Checksums of those frames, from the start to the last of them."""
    last = max(places)
    true = {}
    for decoded in video.pictures():
        if decoded.ordinal in places:
            true[decoded.ordinal] = _checksum(video.to_frame(decoded))
        if decoded.ordinal == last:
            break
    return true


def timed_steps(video: Video, index: FrameIndex, places: list[int], true: dict[int, int]) -> Timed:
    """The first is a jump, and not counted."""
    seeker = Seeker(video, index)
    seeker.frame(places[0])
    return timed(seeker, places[1:], true)


def timed(seeker: Seeker, places: list[int], true: dict[int, int]) -> Timed:
    """Each place in turn."""
    seconds, wrong = [], 0
    for place in places:
        started = time.perf_counter()
        frame = seeker.frame(place)
        seconds.append(time.perf_counter() - started)
        wrong += bool(true) and _checksum(frame) != true[place]
    seeker.close()
    return Timed(seconds, wrong)


def _checksum(frame: Frame) -> int:
    return zlib.crc32(frame.image.tobytes())


def _drawn(folder: Path) -> Path:
    from demo.footage import write_footage

    path = folder / "demo.mp4"
    write_footage(path)
    return path


def _ffmpeg(arguments: list[str]) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments], check=True)


if __name__ == "__main__":
    main()
