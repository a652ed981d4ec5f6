"""Videos are decoded exactly: times against ffprobe, pictures against ffmpeg, damage against the whole file."""

import json
import random
import subprocess
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from frame_tools.analysis import Analyst
from frame_tools.errors import FrameToolsError
from frame_tools.timing import Span, parse_position
from frame_tools.video import FrameMark, open_video
from tests.frame_tools.shared_videos import SHARED_VIDEOS

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def ffprobe_pts(ffprobe: str, path: Path) -> list[int]:
    command = [ffprobe, "-v", "error", "-select_streams", "v:0", "-show_entries", "frame=pts", "-of", "json", str(path)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [frame["pts"] for frame in json.loads(output)["frames"]]


def marks_of(video) -> list[FrameMark]:
    analyst = Analyst(video)
    for decoded in video.pictures():
        analyst.look(decoded)
    table = analyst.result().table
    return [table.mark(row) for row in range(len(table))]


def corners(image: np.ndarray) -> list[str]:
    """The colours in the corners, in reading order."""
    names = {"red": RED, "green": GREEN, "blue": BLUE, "white": WHITE}
    pixels = [image[4, 4], image[4, -5], image[-5, 4], image[-5, -5]]
    return [min(names, key=lambda n: int(np.abs(np.subtract(names[n], p, dtype=int)).sum())) for p in pixels]


@pytest.mark.shared_data
@pytest.mark.slow
@pytest.mark.parametrize("name", SHARED_VIDEOS)
def test_shared_videos_have_ffprobes_time_stamps(shared_data, ffprobe, name):
    path = shared_data / "videos" / f"{name}.mp4"
    video = open_video(path)
    decoded = [(d.pts, d.ordinal) for d in video.pictures()]
    assert [pts for pts, _ in decoded] == ffprobe_pts(ffprobe, path) == video.packet_pts()
    assert [ordinal for _, ordinal in decoded] == list(range(len(decoded)))
    assert video.damage == () and video.repaired_pts == 0


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["rotation_metadata", "dancer_portrait", "people_one_by_one"])
def test_shared_videos_look_as_ffmpeg_shows_them(shared_data, ffprobe, name):
    path = shared_data / "videos" / f"{name}.mp4"
    video = open_video(path)
    frame = next(video.frames())
    ffmpeg = Path(ffprobe).with_name("ffmpeg")
    command = [
        str(ffmpeg),
        "-v",
        "error",
        "-i",
        str(path),
        "-frames:v",
        "1",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-",
    ]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    shown = np.frombuffer(raw, np.uint8).reshape(video.facts.height, video.facts.width, 3)
    # ffmpeg turns before it converts colours, so that chroma is interpolated the other way round.
    assert np.abs(frame.image.astype(int) - shown).mean() < 1.5


def test_variable_frame_rate_keeps_each_time(make_video, ffprobe):
    pts = [0, 512, 1024, 4000, 4001, 9000, 15360, 15872]
    video = open_video(make_video(pts=pts, time_base=Fraction(1, 15360)))
    frames = list(video.frames())
    assert [frame.id.pts for frame in frames] == pts == ffprobe_pts(ffprobe, video.path)
    assert [frame.seconds for frame in frames] == [Fraction(p, 15360) for p in pts]


def test_b_frames_come_in_order_of_presentation(make_video, ffprobe):
    path = make_video(pts=range(60), options={"crf": "12", "bf": "5", "b_strategy": "0", "g": "25"})
    video = open_video(path)
    assert [d.pts for d in video.pictures()] == ffprobe_pts(ffprobe, path)
    with av.open(str(path)) as container:
        assert any(p.pts != p.dts for p in container.demux(video=0) if p.size), "the video has no B-frames"


@pytest.mark.parametrize(
    ("rotation", "expected"),
    [
        (0, ["red", "green", "blue", "white"]),
        (-90, ["blue", "red", "white", "green"]),  # clockwise
        (180, ["white", "blue", "green", "red"]),
        (90, ["green", "white", "red", "blue"]),
    ],
)
def test_turned_video_comes_out_upright(make_video, rotation, expected):
    video = open_video(make_video(rotation=rotation, pts=range(3), size=(96, 64)))
    frame = next(video.frames())
    assert corners(frame.image) == expected
    assert frame.image.shape[:2] == ((64, 96) if rotation in (0, 180) else (96, 64))
    assert (video.facts.height, video.facts.width) == frame.image.shape[:2]
    assert frame.image.flags.c_contiguous


@pytest.mark.parametrize(("aspect", "size"), [(Fraction(2), (192, 64)), (Fraction(1, 2), (96, 128))])
def test_pixels_become_square_without_losing_any(make_video, aspect, size):
    video = open_video(make_video(sample_aspect=aspect, pts=range(3), size=(96, 64)))
    frame = next(video.frames())
    assert (frame.image.shape[1], frame.image.shape[0]) == size == (video.facts.width, video.facts.height)
    assert corners(frame.image) == ["red", "green", "blue", "white"]


def test_odd_sizes_keep_every_row_and_column(make_video):
    frame = next(open_video(make_video(size=(97, 63), pts=range(3))).frames())
    assert frame.image.shape == (63, 97, 3)


@pytest.mark.parametrize("name", ["video.mp4", "video.mkv", "video.ts"])
def test_damage_is_skipped_and_nothing_wrong_comes_out(make_video, name):
    whole = make_video(name, pts=range(120), size=(192, 128), options={"crf": "12", "g": "20", "bf": "3"})
    true = {frame.id.pts: frame.image for frame in open_video(whole).frames()}
    content = bytearray(whole.read_bytes())
    start = len(content) // 2
    content[start : start + 1500] = random.Random(0).randbytes(1500)
    damaged = whole.with_name(f"damaged_{name}")
    damaged.write_bytes(content)

    video = open_video(damaged)
    frames = {frame.id.pts: frame.image for frame in video.frames()}
    assert 60 <= len(frames) < 120
    assert max(frames) == max(true), "what comes after the damage is used"
    assert all(np.array_equal(frames[pts], true[pts]) for pts in frames)
    assert video.damage
    missing = len(true) - len(frames)
    assert missing - 2 <= sum(stretch.lost_frames for stretch in video.damage) <= missing + 2


def test_damage_is_the_same_every_time(make_video):
    whole = make_video(pts=range(120), size=(192, 128), options={"crf": "12", "g": "20", "bf": "3"})
    content = bytearray(whole.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 1500] = random.Random(0).randbytes(1500)
    whole.write_bytes(content)
    runs = []
    for threads in (1, 2, 4, 2):
        video = open_video(whole, threads)
        runs.append(([(d.pts, d.ordinal) for d in video.pictures()], video.damage))
    assert all(run == runs[0] for run in runs)
    assert runs[0][0][-1] == (119, 119), "ordinals count the lost frames"


def test_a_file_that_was_cut_off_says_so(make_video):
    path = make_video("video.mp4", pts=range(90), options={"crf": "12", "g": "10", "movflags": "faststart"})
    with (
        av.open(str(path)) as source,
        av.open(str(path.with_name("front.mp4")), "w", options={"movflags": "faststart"}) as copy,
    ):
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                copy.mux(packet)
    front = path.with_name("front.mp4")
    front.write_bytes(front.read_bytes()[: front.stat().st_size * 2 // 3])
    video = open_video(front)
    count = sum(1 for _ in video.pictures())
    assert 30 < count < 80
    assert video.damage[-1].end_pts is None
    assert abs(sum(stretch.lost_frames for stretch in video.damage) - (90 - count)) <= 2


def test_missing_time_stamps_are_made_from_the_frame_rate(make_video):
    path = make_video("video.h264", pts=range(25), time_base=Fraction(1, 25), options={"crf": "12", "bf": "0"})
    video = open_video(path)
    stamps = [d.pts for d in video.pictures()]
    assert video.repaired_pts == len(stamps) == 25
    steps = {b - a for a, b in pairwise(stamps)}
    assert len(steps) == 1
    assert abs(float(steps.pop() * video.facts.time_base) - 1 / 25) < 1e-6
    assert video.packet_pts() == []


@pytest.mark.parametrize(
    "options", [{"bf": "3", "g": "12"}, {"bf": "0", "g": "250"}, {"x264-params": "open-gop=1:keyint=15:bframes=3"}]
)
def test_frames_found_again_have_the_same_pixels(make_video, options):
    path = make_video(
        pts=range(120), time_base=Fraction(1, 4), options={"crf": "12", **options}
    )  # 30 s: it has to seek
    video = open_video(path)
    sequential = {frame.id.pts: frame for frame in video.frames()}
    marks = [mark for mark in marks_of(video) if mark.pts in (0, 1, 55, 56, 57, 58, 113, 119)]
    again = list(video.frames_at(reversed(marks)))
    assert [frame.id.pts for frame in again] == [0, 1, 55, 56, 57, 58, 113, 119]
    for frame in again:
        assert np.array_equal(frame.image, sequential[frame.id.pts].image)
        assert frame.ordinal == sequential[frame.id.pts].ordinal


def test_frames_are_found_again_without_time_stamps_and_beside_damage(make_video):
    path = make_video("video.h264", pts=range(50), time_base=Fraction(1, 25), options={"crf": "12"})
    video = open_video(path)
    marks = marks_of(video)
    assert [frame.ordinal for frame in video.frames_at([marks[40], marks[3]])] == [3, 40]
    assert video.repaired_pts == 50


def test_a_frame_that_changed_meanwhile_is_an_error(make_video):
    video = open_video(make_video(pts=range(10)))
    mark = marks_of(video)[5]
    with pytest.raises(FrameToolsError, match="pts 5 is not what it was"):
        list(video.frames_at([FrameMark(mark.pts, mark.ordinal, mark.checksum ^ 1)]))


def test_spans_by_time_and_by_ordinal(make_video):
    video = open_video(make_video(pts=range(10, 70, 2), time_base=Fraction(1, 20)))  # 10 frames a second from 0.5 s on
    span = Span(parse_position("1"), parse_position("1.5"))
    assert [d.ordinal for d in video.pictures(span)] == [10, 11, 12, 13, 14]
    span = Span(parse_position("3f"), parse_position("6f"))
    assert [d.pts for d in video.pictures(span)] == [16, 18, 20]


def test_identity_is_the_hash_of_the_bytes(make_video):
    path = make_video(pts=range(3))
    import hashlib

    assert next(open_video(path).frames()).id.source_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.mp4", b"", "0 bytes"),
        ("text.mp4", b"not a video at all\n" * 50, "cannot be read as a video"),
        ("missing.mp4", None, "no such file"),
    ],
)
def test_what_is_no_video_says_so(tmp_path, name, content, words):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FrameToolsError, match=words) as error:
        open_video(path)
    assert str(path) in str(error.value)


def test_pictures_folders_and_sound_are_no_videos(tmp_path):
    from PIL import Image

    Image.new("RGB", (64, 64)).save(tmp_path / "picture.jpg")
    with pytest.raises(FrameToolsError, match="not a video"):
        open_video(tmp_path / "picture.jpg")
    with pytest.raises(FrameToolsError, match="folder"):
        open_video(tmp_path)
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.rate, frame.pts = 44100, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(FrameToolsError, match="no video stream"):
        open_video(tmp_path / "sound.mp4")
