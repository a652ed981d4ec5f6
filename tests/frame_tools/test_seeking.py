"""Whatever order frames are asked for in, each is that of a pass from the start, or an error."""

import hashlib
import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frame_tools.analysis import Analyst
from frame_tools.errors import FrameToolsError
from frame_tools.seeking import Seeker, index_of, kept_index
from frame_tools.video import open_video
from tests.frame_tools.shared_videos import SHARED_VIDEOS

GROUPS = [
    {"bf": "3", "g": "12"},
    {"bf": "0", "g": "250", "sc_threshold": "0"},
    {"x264-params": "open-gop=1:keyint=15:bframes=3"},
    {"x264-params": "intra-refresh=1:keyint=20:bframes=0"},
]


def digest(frame) -> str:
    return hashlib.sha256(frame.image.tobytes()).hexdigest()


def sequential(path) -> list[tuple[int, int, str]]:
    return [(frame.id.pts, frame.ordinal, digest(frame)) for frame in open_video(path).frames()]


def sought(seeker: Seeker, places) -> list[tuple[int, int, str]]:
    frames = [seeker.frame(place) for place in places]
    return [(frame.id.pts, frame.ordinal, digest(frame)) for frame in frames]


@pytest.mark.shared_data
@pytest.mark.slow
@pytest.mark.parametrize("name", SHARED_VIDEOS)
def test_shared_videos_in_any_order(shared_data, name):
    path = shared_data / "videos" / f"{name}.mp4"
    true = sequential(path)
    video = open_video(path)
    index = index_of(video)
    assert index.pts.tolist() == [pts for pts, _, _ in true] and not index.obstacle

    @settings(max_examples=6)
    @given(st.lists(st.integers(0, len(true) - 1), min_size=1, max_size=12), st.sampled_from((0, 2**25)))
    def check(places, cache_bytes):
        seeker = Seeker(video, index, cache_bytes)
        assert sought(seeker, places) == [true[place] for place in places]

    check()


@pytest.mark.parametrize("options", GROUPS)
@pytest.mark.parametrize("name", ["video.mp4", "video.mkv", "video.ts"])
def test_any_order_in_any_group_of_pictures(make_video, name, options):
    path = make_video(
        name, pts=range(0, 90 * 3600, 3600), time_base=Fraction(1, 90000), options={"crf": "20", **options}
    )
    true = sequential(path)
    index = index_of(open_video(path))
    places = random.Random(0).choices(range(len(true)), k=25)
    places += [*range(89, 60, -1), 5, 6, 7, 0]
    assert sought(Seeker(open_video(path), index), places) == [true[place] for place in places]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 39), min_size=1, max_size=25), st.integers(0, 6))
def test_a_varying_rate_in_any_order_with_any_cache(make_video, places, cached):
    pts = np.cumsum([1 + (7 * i) % 31 for i in range(40)]).tolist()
    path = make_video(pts=pts, time_base=Fraction(1, 600), options={"crf": "20", "bf": "3", "g": "9"})
    true = sequential(path)
    seeker = Seeker(open_video(path), index_of(open_video(path)), cached * 96 * 64 * 2)
    assert sought(seeker, places) == [true[place] for place in places]


def test_a_step_back_comes_from_what_is_kept(make_video, monkeypatch):
    path = make_video(pts=range(60), options={"crf": "20", "g": "60", "sc_threshold": "0"})
    video = open_video(path)
    seeker = Seeker(video, index_of(video))
    seeker.frame(50)
    monkeypatch.setattr("frame_tools.video.PictureReader.pictures_from", lambda *_: pytest.fail("sought again"))
    assert [seeker.frame(place).ordinal for place in range(50, -1, -1)] == list(range(50, -1, -1))


def test_without_time_stamps_everything_is_decoded_from_the_start(make_video):
    path = make_video("video.h264", pts=range(30), time_base=Fraction(1, 25), options={"crf": "12", "g": "10"})
    index = index_of(open_video(path))
    assert "time stamps" in index.warning and len(index) == 30
    true = sequential(path)
    assert sought(Seeker(open_video(path), index), [20, 3, 29, 28]) == [true[place] for place in (20, 3, 29, 28)]


@pytest.mark.parametrize("name", ["video.mp4", "video.mkv", "video.ts"])
def test_damaged_video_shows_the_right_frame_or_says_that_it_cannot(make_video, name):
    whole = make_video(name, pts=range(120), size=(192, 128), options={"crf": "12", "g": "20", "bf": "3"})
    content = bytearray(whole.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 1500] = random.Random(0).randbytes(1500)
    whole.write_bytes(content)
    true = {pts: seen for pts, _, seen in sequential(whole)}
    index = index_of(open_video(whole))
    seeker, lost = Seeker(open_video(whole), index), 0
    for place in random.Random(1).sample(range(len(index)), 60):
        try:
            frame = seeker.frame(place)
        except FrameToolsError as error:
            assert "damaged" in str(error)
            lost += 1
        else:
            assert digest(frame) == true[frame.id.pts]
    assert lost or len(index) == len(true), "what is lost is either told or not offered"


def test_frames_found_good_by_a_pass_are_found_again(make_video):
    path = make_video(pts=range(120), size=(192, 128), options={"crf": "12", "g": "20", "bf": "3"})
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 1500] = random.Random(0).randbytes(1500)
    path.write_bytes(content)
    video = open_video(path)
    analyst = Analyst(video)
    for decoded in video.pictures():
        analyst.look(decoded)
    table = analyst.result().table
    seeker = Seeker(open_video(path), index_of(video).among(table.pts))
    seeker.checksums = dict(zip(table.pts.tolist(), table.checksum.tolist(), strict=True))
    true = sequential(path)
    places = random.Random(1).sample(range(len(table)), 40)
    assert [(pts, seen) for pts, _, seen in sought(seeker, places)] == [(true[p][0], true[p][2]) for p in places]


def test_a_picture_that_is_not_what_it_was_is_an_error(make_video):
    video = open_video(make_video(pts=range(20)))
    seeker = Seeker(video, index_of(video))
    seeker.frame(7)
    seeker.checksums = {7: -1}
    with pytest.raises(FrameToolsError, match="pts 7 cannot be decoded"):
        seeker.frame(7)
    with pytest.raises(FrameToolsError, match="no frame 20, expected 0 to 19"):
        seeker.frame(20)


def test_long_groups_of_pictures_are_told(make_video):
    short = make_video(
        "short.mp4", pts=range(0, 3000, 100), time_base=Fraction(1, 100), options={"g": "5", "sc_threshold": "0"}
    )
    assert index_of(open_video(short)).longest_group_seconds == pytest.approx(5)
    assert index_of(open_video(short)).warning == ""
    long = make_video(
        "long.mp4", pts=range(0, 6000, 100), time_base=Fraction(1, 100), options={"g": "600", "sc_threshold": "0"}
    )
    assert "up to 59 s between two keyframes" in index_of(open_video(long)).warning


def test_an_index_is_kept_until_the_file_changes(make_video, tmp_path, monkeypatch):
    path = make_video(pts=range(30), options={"g": "7"})
    first = kept_index(open_video(path), tmp_path / "kept")
    monkeypatch.setattr("frame_tools.seeking.index_of", lambda video: pytest.fail("was read anew"))
    again = kept_index(open_video(path), tmp_path / "kept")
    assert np.array_equal(again.pts, first.pts) and np.array_equal(again.keyframes, first.keyframes)
    assert again.time_base == first.time_base
    monkeypatch.undo()
    kept = next((tmp_path / "kept").glob("*.npz"))
    kept.write_bytes(kept.read_bytes()[:50])
    assert len(kept_index(open_video(path), tmp_path / "kept")) == 30
    path.write_bytes(make_video("other.mp4", pts=range(40)).read_bytes())
    assert len(kept_index(open_video(path), tmp_path / "kept")) == 40
