"""The analysis pass of choose-frames against decoding alone, side by side; and the memory of a long video.

    python -m benchmarks.choose_frames [VIDEO…] [--rounds 9] [--threads N] [--memory VIDEO]

Decoding alone is PyAV's own loop over all frames, with as many threads as FFmpeg takes by itself (one more than there
are cores), and nothing done to the pictures.
The file is opened, and for the analysis probed, before the clock starts: that costs some 10 ms, however long it is.
The two alternate within a round, so that whatever else the machine does meets both. Below 1 the analysis costs time.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import av

from annotator.frame_choice import look_at, looks_stride
from frame_tools.timing import WHOLE
from frame_tools.video import open_video


@dataclass(frozen=True)
class Measured:
    """One pass: seconds by the clock, seconds of all processors, frames."""

    seconds: float
    processor_seconds: float
    frames: int


def decode_alone(path: Path, threads: int) -> Measured:
    """What every reader of the video has to do."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_type = "AUTO"
        stream.codec_context.thread_count = threads
        clock, processor = time.perf_counter(), time.process_time()
        frames = sum(1 for _ in container.decode(stream))
        return Measured(time.perf_counter() - clock, time.process_time() - processor, frames)


def analyse(path: Path, threads: int) -> Measured:
    """The pass of `choose-frames -n`."""
    frames = 0

    def count(number: int) -> None:
        nonlocal frames
        frames += number

    video = open_video(path, threads)
    clock, processor = time.perf_counter(), time.process_time()
    look_at(video, WHOLE, count, looks_stride(video, "diverse"))
    return Measured(time.perf_counter() - clock, time.process_time() - processor, frames)


def compare(path: Path, rounds: int, threads: int) -> str:
    """One line of the table."""
    ratios, processor_ratios, rates = [], [], []
    for number in range(rounds):
        pair = [decode_alone, analyse] if number % 2 else [analyse, decode_alone]
        times = {function: function(path, threads) for function in pair}
        bare, whole = times[decode_alone], times[analyse]
        ratios.append(bare.seconds / whole.seconds)
        processor_ratios.append(bare.processor_seconds / whole.processor_seconds)
        rates.append(whole.frames / whole.seconds)
    low, middle, high = statistics.quantiles(ratios, n=4)
    return (
        f"| {path.name} | {whole.frames} | {statistics.median(rates):.0f} "
        f"| {middle:.2f} | {low:.2f} to {high:.2f} | {statistics.median(processor_ratios):.2f} |"
    )


def drawn_footage(folder: Path) -> list[Path]:
    """The demo's own video, for those who give none."""
    from demo.footage import write_footage

    path = folder / "demo.mp4"
    write_footage(path)
    return [path]


def main() -> None:
    """Print the table, then the memory if it was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=0, help="of both [default: what each takes by itself]")
    parser.add_argument("--memory", type=Path, help="a long video, whose analysis is measured for memory")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        videos = arguments.videos or ([] if arguments.memory else drawn_footage(Path(folder)))
        if videos:
            print("| video | frames | frames/s | rate over decoding alone, median | quartiles | processor time |")
            print("|---|---|---|---|---|---|")
        for video in videos:
            print(compare(video, arguments.rounds, arguments.threads), flush=True)
    if arguments.memory:
        run = analyse(arguments.memory, arguments.threads)
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{arguments.memory.name}: {run.frames} frames in {run.seconds:.0f} s, at most {most:.0f} MiB resident")


if __name__ == "__main__":
    main()
