"""annotator choose-frames, from the command line to the folder."""

import json
import random
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner

from annotator.commands.choose_frames import command
from frame_tools.images import read_image, read_manifest
from frame_tools.video import open_video


def write_video(path: Path, frames, options=None, rate: int = 10) -> Path:
    """RGB pictures as H.264."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options=options or {"crf": "12"})
        stream.pix_fmt = "yuv420p"
        stream.width, stream.height = 160, 120
        for index, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def backdrop(seed: int, height: int = 120, width: int = 160) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(60, 200, (height // 8, width // 8, 3))
    return np.kron(noise, np.ones((8, 8, 1))).astype(np.uint8)


def walk(count: int = 40, seed: int = 0):
    """Somebody in black crosses the picture between frames 10 and 30; before and after nothing happens."""
    for index in range(count):
        image = backdrop(seed)
        if 10 <= index < 30:
            left = (index - 10) * 7
            image[30:110, left : left + 22] = 10
        yield image


def run(*args) -> tuple[int, str, str]:
    result = CliRunner().invoke(command, [str(arg) for arg in args], standalone_mode=False)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.return_value or 0, result.stdout, result.stderr


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def video(tmp_path):
    return write_video(tmp_path / "walk.mp4", walk())


def test_frames_manifest_and_pixels(video, tmp_path):
    code, stdout, _ = run(video, "-o", tmp_path / "frames", "-n", 6, "--format", "png")
    assert (code, stdout.strip()) == (0, str(tmp_path / "frames"))
    entries = read_manifest(tmp_path / "frames")
    assert len(entries) == 6 and entries == sorted(entries, key=lambda e: e.pts)
    source = {frame.id.pts: frame for frame in open_video(video).frames()}
    for entry in entries:
        frame = source[entry.pts]
        assert entry.file == f"walk-{frame.id.source_sha256[:8]}-{entry.pts}.png"
        assert entry.sha256 == frame.id.source_sha256 and entry.ordinal == frame.ordinal
        assert entry.time_base == frame.time_base and entry.reason.startswith("diverse")
        assert entry.quality["sharpness"] > 0
        assert np.array_equal(read_image(tmp_path / "frames" / entry.file).pixels, frame.image)


def test_diverse_prefers_where_something_happens(video, tmp_path):
    run(video, "-o", tmp_path / "frames", "-n", 8)
    ordinals = [entry.ordinal for entry in read_manifest(tmp_path / "frames")]
    assert sum(10 <= ordinal < 30 for ordinal in ordinals) >= 7


def test_the_same_command_gives_the_same_bytes_and_another_is_refused(video, tmp_path):
    folder = tmp_path / "frames"
    options = (video, "-o", folder, "-n", 5, "--report")
    run(*options)
    first = contents(folder)
    next(folder.glob("*.jpg")).unlink()
    run(*options)
    assert contents(folder) == first
    with pytest.raises(Exception, match="count: was 5, is 4") as error:
        run(video, "-o", folder, "-n", 4)
    assert "--overwrite" in str(error.value)
    run(video, "-o", folder, "-n", 4, "--overwrite")
    assert len(list(folder.glob("*.jpg"))) == 4 and not (folder / "report.html").exists()


def test_a_folder_of_something_else_is_left_alone(video, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.doc").write_text("years of work")
    with pytest.raises(Exception, match=r"thesis\.doc"):
        run(video, "-o", tmp_path / "mine", "-n", 4, "--overwrite")
    assert contents(tmp_path / "mine") == {"thesis.doc": b"years of work"}


def test_report_shows_every_frame_and_reason(video, tmp_path):
    run(video, "-o", tmp_path / "frames", "-n", 5, "--report")
    page = (tmp_path / "frames" / "report.html").read_text("utf-8")
    for entry in read_manifest(tmp_path / "frames"):
        assert entry.file in page and page.count(entry.reason) >= 2  # in the sheet and on the timeline
        assert (tmp_path / "frames" / "report_files" / f"{Path(entry.file).stem}.jpg").exists()
    assert "<svg" in page


def test_span_step_size_and_json(video, tmp_path):
    options = ("--method", "every", "--step", 4, "--start", "1", "--end", "30f", "--max-size", 80, "--json")
    _, stdout, _ = run(video, "-o", tmp_path / "frames", *options)
    result = json.loads(stdout)
    assert result["frames"] == 5
    entries = read_manifest(tmp_path / "frames")
    assert [entry.ordinal for entry in entries] == [10, 14, 18, 22, 26]
    assert read_image(tmp_path / "frames" / entries[0].file).pixels.shape == (60, 80, 3)


def test_two_videos_share_and_a_twin_is_refused(video, tmp_path):
    other = write_video(tmp_path / "other.mp4", walk(seed=1))
    run(video, other, "-o", tmp_path / "frames", "-n", 10)
    sources = [entry.source for entry in read_manifest(tmp_path / "frames")]
    assert sources.count("walk.mp4") == sources.count("other.mp4") == 5
    twin = tmp_path / "twin.mp4"
    twin.write_bytes(video.read_bytes())
    with pytest.raises(Exception, match="the same video as"):
        run(video, twin, "-o", tmp_path / "twins", "-n", 10)


def test_asking_for_more_than_there_is_says_why(video, tmp_path):
    code, _, stderr = run(video, "-o", tmp_path / "frames", "-n", 40)
    count = len(read_manifest(tmp_path / "frames"))
    assert code == 0 and 15 <= count < 30
    assert f"{count} of 40" in stderr and "near-duplicates" in stderr


def test_hard_cases_with_a_detector(video, tmp_path):
    boxes = {
        "images": [{"id": 1, "file_name": "walk.mp4", "width": 160, "height": 120}],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 20, 60, 80]}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    detection = ("--detection", tmp_path / "boxes.json")
    _, _, stderr = run(video, "-o", tmp_path / "f", "-n", 6, *detection, "--want", "truncated=2", "--want", "crowded=3")
    entries = read_manifest(tmp_path / "f")
    assert sum(entry.reason.startswith("wanted: truncated") for entry in entries) == 2
    assert all(entry.quality["subjects"] == 1 for entry in entries)
    assert "crowded: 0 of 3 wanted; 0 of the 40 frames looked at are crowded" in stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "-n is missing"),
        (("--method", "every", "-n", 3), "--step"),
        (("-n", 3, "--step", 2), "--method every"),
        (("-n", 3, "--want", "crowded=2"), "needs --detection"),
        (("-n", 3, "--want", "blurry=4"), "more than -n 3"),
        (("-n", 3, "--want", "sleepy=1"), "kind=count"),
    ],
)
def test_misuse_is_explained_before_any_work(video, tmp_path, options, words):
    result = CliRunner().invoke(command, [str(o) for o in (video, "-o", tmp_path / "frames", *options)])
    assert result.exit_code == 2 and words in result.stderr
    assert not (tmp_path / "frames").exists()


def test_damage_is_listed_and_gives_exit_code_3(tmp_path):
    path = write_video(tmp_path / "a.mp4", (backdrop(i) for i in range(80)), {"crf": "12", "g": "10"})
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 3000] = random.Random(0).randbytes(3000)
    path.write_bytes(content)
    code, _, stderr = run(path, "-o", tmp_path / "frames", "-n", 5)
    assert code == 3 and "frames lost" in stderr
    line = json.loads((tmp_path / "frames" / "errors.jsonl").read_text().splitlines()[0])
    assert line["file"] == str(path) and line["lost_frames"] > 0
    assert len(read_manifest(tmp_path / "frames")) == 5


def test_a_file_that_is_no_video_is_one_message_and_exit_code_1(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"")
    program = [str(Path(sys.executable).with_name("annotator"))]
    result = subprocess.run(
        [*program, "choose-frames", str(tmp_path / "a.mp4"), "-o", str(tmp_path / "f"), "-n", "3"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1 and "0 bytes" in result.stderr and "Traceback" not in result.stderr


@pytest.mark.shared_data
@pytest.mark.slow
def test_real_footage_gives_people_not_empty_rooms(shared_data, tmp_path):
    """Of 1,394 frames about half are empty; the frames of a labeller are not."""
    video = shared_data / "videos" / "people_one_by_one.mp4"
    run(video, "-o", tmp_path / "frames", "-n", 24)
    frames = [read_image(tmp_path / "frames" / entry.file).pixels for entry in read_manifest(tmp_path / "frames")]
    assert len(frames) == 24
    background = np.median([f.image for i, f in enumerate(open_video(video).frames()) if i % 50 == 0], axis=0)
    occupied = [(np.abs(frame - background).max(axis=2) > 60).mean() > 0.02 for frame in frames]
    assert sum(occupied) >= 22
