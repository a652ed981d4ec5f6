"""annotator clip, from the command line to the folders."""

import json
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner

from annotator.commands.clip import command
from frame_tools.images import read_image, read_manifest
from frame_tools.video import open_video

PTS = [0, 3, 6, 9, 20, 21, 22, 40, 43, 46, 49, 60, 61, 70, 71, 75, 80, 90, 91, 99]  # no constant rate


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "uneven.mp4"
    with av.open(str(path), "w", options={"video_track_timescale": "1000"}) as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "10", "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for index, pts in enumerate(PTS):
            image = np.kron(np.random.default_rng(index).integers(40, 220, (8, 12, 3)), np.ones((8, 8, 1)))
            frame = av.VideoFrame.from_ndarray(image.astype(np.uint8), format="rgb24")
            frame.pts, frame.time_base = pts, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def run(*args) -> tuple[int, str, str]:
    result = CliRunner().invoke(command, [str(arg) for arg in args], standalone_mode=False)
    if result.exception:
        raise result.exception
    return result.return_value or 0, result.stdout, result.stderr


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


OVERLAPPING = ("--step", 2, "--clip-size", 4, "--clip-step", 3)


def test_overlapping_clips_hold_the_planned_frames(video, tmp_path):
    _, stdout, _ = run(video, "--dry-run", "--json", *OVERLAPPING)
    plan = json.loads(stdout)["clips"]
    code, stdout, _ = run(video, "-o", tmp_path / "clips", "--format", "png", *OVERLAPPING)
    assert (code, stdout.strip()) == (0, str(tmp_path / "clips"))
    source = {frame.ordinal: frame for frame in open_video(video).frames()}
    assert [clip["first"] for clip in plan] == [0, 3, 6, 9, 12]
    for clip in plan:
        entries = read_manifest(tmp_path / "clips" / clip["clip"])
        assert [e.ordinal for e in entries] == list(range(clip["first"], clip["last"] + 1, 2))
        assert [e.pts for e in entries] == [PTS[e.ordinal] for e in entries]
        for entry in entries:
            pixels = read_image(tmp_path / "clips" / clip["clip"] / entry.file).pixels
            assert np.array_equal(pixels, source[entry.ordinal].image)
            assert entry.file == f"uneven-{entry.sha256[:8]}-{entry.pts}.png"


def test_a_dry_run_writes_nothing(video, tmp_path):
    before = sorted(tmp_path.iterdir())
    _, stdout, _ = run(video, "-o", tmp_path / "clips", "--clip-size", 10, "--dry-run")
    assert stdout.splitlines() == [
        "clip_00000  10 frames, 0 to 9 by 1, 0.000 s to 0.046 s",
        "clip_00001  10 frames, 10 to 19 by 1, 0.049 s to 0.099 s",
    ]
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("size", [4, 13])
def test_videos_keep_the_exact_times(video, tmp_path, ffprobe, size):
    run(video, "-o", tmp_path / "clips", "--video", "--clip-size", size, "--clip-step", 1, "--start", "2f")
    folders = sorted((tmp_path / "clips").glob("clip_*"))
    assert len(folders) == 18 - size + 1
    for number, folder in enumerate(folders):
        entries = read_manifest(folder)
        (path,) = folder.glob("*.mp4")
        assert path.name == f"uneven-{entries[0].sha256[:8]}-{entries[0].pts}.mp4"
        expected = PTS[2 + number : 2 + number + size]
        assert [entry.pts for entry in entries] == expected
        arguments = ["-v", "error", "-show_entries", "frame=pts_time", "-of", "json", str(path)]
        frames = json.loads(subprocess.run([ffprobe, *arguments], capture_output=True, check=True).stdout)["frames"]
        times = [Fraction(frame["pts_time"]) for frame in frames]
        assert times == [Fraction(pts - expected[0], 1000) for pts in expected]
    source = {frame.ordinal: frame.image for frame in open_video(video).frames()}
    shown = next(open_video(next(folders[0].glob("*.mp4"))).frames()).image
    assert np.abs(shown.astype(int) - source[2]).mean() < 6


@pytest.mark.parametrize("extra", [(), ("--video",)])
def test_the_same_command_gives_the_same_bytes(video, tmp_path, extra):
    options = (video, "-o", tmp_path / "clips", *OVERLAPPING, *extra)
    run(*options)
    first = contents(tmp_path / "clips")
    next((tmp_path / "clips").glob("clip_*/uneven*")).unlink()
    run(*options)
    assert contents(tmp_path / "clips") == first
    with pytest.raises(Exception, match="clip_size: was 4, is 5"):
        run(video, "-o", tmp_path / "clips", "--clip-size", 5)
    run(video, "-o", tmp_path / "clips", "--clip-size", 10, "--overwrite")
    assert sorted(p.name for p in (tmp_path / "clips").glob("clip_*")) == ["clip_00000", "clip_00001"]


def test_a_span_by_time_counts_from_the_first_frame(video):
    _, stdout, _ = run(video, "--dry-run", "--json", "--start", "0.02", "--end", "00:00:00.050")
    (clip,) = json.loads(stdout)["clips"]
    assert (clip["first"], clip["last"]) == (4, 10)


def test_misuse_is_explained(video, tmp_path):
    result = CliRunner().invoke(command, [str(video)])
    assert result.exit_code == 2 and "-o is missing" in result.stderr
    with pytest.raises(Exception, match="no frames between"):
        run(video, "--dry-run", "--start", "99")
