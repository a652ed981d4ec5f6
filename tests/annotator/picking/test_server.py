"""Who may ask the page's server, and what it answers."""

import http.client
import io
import json
import random
import threading

import numpy as np
import pytest
from PIL import Image

from annotator.errors import AnnotatorError
from annotator.picking.desk import opened_desk
from annotator.picking.log import LOG_FILE, PickingLog
from annotator.picking.looking import Question
from annotator.picking.server import LOOPBACK, PickingServer, served
from annotator.picking.session import Event
from frame_tools.frame import FrameId
from frame_tools.selection import Wishes
from frame_tools.timing import WHOLE, Span, parse_position
from frame_tools.video import open_video
from tests.annotator.picking.walks import write_walk


@pytest.fixture
def video(tmp_path):
    return open_video(write_walk(tmp_path / "walk.mp4"))


@pytest.fixture
def desk(video, tmp_path):
    with opened_desk([video], tmp_path, Question(WHOLE, Wishes(6))) as desk:
        desk.looked()
        yield desk


@pytest.fixture
def server(desk):
    with served(desk) as server:
        yield server


def ask(server, method="GET", path="/", body=None, **headers):
    """headers: None leaves one out. Gives status, headers, content."""
    connection = http.client.HTTPConnection(LOOPBACK, server.port, timeout=10)
    ours = {"Host": server.hosts[0], "Cookie": f"{server.cookie}={server.token}", "Origin": f"http://{server.hosts[0]}"}
    sent = {name: value for name, value in (ours | headers).items() if value is not None}
    connection.putrequest(method, path, skip_host=True)
    for name, value in sent.items():
        connection.putheader(name, value)
    if body is not None and "Content-Length" not in sent:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers, content


def event(server, **values):
    status, _, content = ask(server, "POST", "/event", json.dumps(values).encode())
    return status, json.loads(content)


def test_it_listens_on_this_machine_only(server):
    assert server.server_address[0] == "127.0.0.1"


def test_the_address_lets_in_once_and_the_token_leaves_it(server):
    status, headers, _ = ask(server, path=server.address.split(str(server.port))[1], Cookie=None)
    assert status == 303 and headers["Location"] == "/"
    cookie = headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite" in cookie and str(server.port) in cookie.split("=")[0]
    assert ask(server, Cookie=cookie.split(";")[0])[0] == 200


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/", {"Cookie": None}),
        ("/state", {"Cookie": "picking-1=abc"}),
        ("/state", {"Cookie": 'picking-1="; ä'}),
        ("/?token=wrong", {}),
        ("/?token=", {}),
        ("/state", {"Host": "example.org"}),
        ("/state", {"Host": None}),
        ("/state", {"Host": "127.0.0.1"}),
    ],
)
def test_strangers_are_refused(server, path, headers):
    headers = {k: v.encode() if k == "Cookie" and v else v for k, v in headers.items()}
    status, _, content = ask(server, path=path, **headers)
    assert status in (400, 403) and b"frames" not in content


@pytest.mark.parametrize("origin", [None, "null", "http://example.org", "http://127.0.0.1:1"])
def test_other_pages_change_nothing(server, desk, origin):
    values = json.dumps({"action": "toggle", "video": 0, "pts": 3}).encode()
    assert ask(server, "POST", "/event", values, Origin=origin)[0] == 403
    assert desk.session.taken == []


def test_the_page_may_run_its_own_script_and_nothing_else(server):
    first, second = ask(server), ask(server)
    policy = first[1]["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    nonce = policy.split("'nonce-")[1].split("'")[0]
    assert f'nonce="{nonce}"'.encode() in first[2] and b"$nonce" not in first[2]
    assert policy != second[1]["Content-Security-Policy"]
    assert first[1]["Cache-Control"] == "no-store" and first[1]["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    ["/../../etc/passwd", "/..%2f..%2fetc/passwd", "/templates/picking.html", "/frame/0/../../x", "//etc/passwd"],
)
def test_there_are_no_files_behind_it(server, path):
    status, _, content = ask(server, path=path)
    assert status == 404 and b"root:" not in content


def test_frames_are_those_of_the_video(server, video):
    true = {frame.id.pts: frame.image for frame in video.frames()}
    listed = json.loads(ask(server, path="/video/0")[2])
    assert listed["pts"] == list(true) and listed["ordinals"] == list(range(40))
    assert listed["seconds"] == [round(pts / 10, 4) for pts in true]
    for pts in random.Random(0).sample(sorted(true), 12):
        status, headers, content = ask(server, path=f"/frame/0/{pts}?full=1")
        shown = np.asarray(Image.open(io.BytesIO(content)))
        assert status == 200 and headers["Content-Type"] == "image/jpeg"
        distances = {other: np.abs(shown.astype(int) - image).mean() for other, image in true.items()}
        assert min(distances, key=distances.get) == pts


def test_a_large_frame_is_shown_small_and_in_full(tmp_path):
    import av

    with av.open(str(tmp_path / "wide.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=5, options={"preset": "ultrafast"})
        stream.pix_fmt, stream.width, stream.height = "yuv420p", 1920, 1080
        for index in range(3):
            image = np.full((1080, 1920, 3), 60 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    video = open_video(tmp_path / "wide.mp4")
    with opened_desk([video], tmp_path, Question(WHOLE, Wishes(None))) as desk:
        pts = desk.frames(0)["pts"][1]
        sizes = [Image.open(io.BytesIO(desk.picture(0, pts, full))).size for full in (False, True)]
    assert sizes == [(1280, 720), (1920, 1080)]


def test_keys_become_state(server, desk):
    status, answer = event(server, action="toggle", video=0, pts=3)
    assert (status, answer["said"], answer["about"]) == (200, "taken", [0, 3])
    assert answer["state"]["picks"] == [{"at": [0, 3], "taken": True, "marks": []}]
    assert event(server, action="mark", video=0, pts=3, mark="blurry")[1]["state"]["counts"]["blurry"] == 1
    assert event(server, action="mark", video=0, pts=3, mark="blurry")[1]["said"] == "no longer marked blurry"
    assert event(server, action="toggle", video=0, pts=3)[1]["said"] == "dropped"
    assert event(server, action="undo")[1]["said"] == "undone"
    assert [frame.pts for frame in desk.session.taken] == [3]
    near = json.loads(ask(server, path="/state")[2])["videos"][0]["near"]
    assert any(low <= 3 <= high for low, high in near)


def test_suggestions_are_the_commands_and_accepted_at_once(server, desk):
    state = json.loads(ask(server, path="/state")[2])
    assert state["looking"]["over"] and 1 <= len(state["suggestions"]) <= 6
    first = state["suggestions"][0]
    assert event(server, action="accept", video=0, pts=first["at"][1])[1]["said"] == "suggestion taken"
    assert "no suggestion here" in event(server, action="accept", video=0, pts=first["at"][1])[1]["said"]
    answer = event(server, action="accept_all")[1]
    assert len(desk.session.taken) == len(state["suggestions"])
    event(server, action="undo")
    assert len(desk.session.taken) == 1 and answer["said"].endswith("suggestions taken")


@pytest.mark.parametrize(
    "values",
    [
        {"action": "toggle", "video": 0, "pts": 400},
        {"action": "toggle", "video": 1, "pts": 3},
        {"action": "toggle", "video": "0", "pts": 3},
        {"action": "fly", "video": 0, "pts": 3},
        {"action": "mark", "video": 0, "pts": 3, "mark": "sad"},
        {},
    ],
)
def test_what_no_key_asks_for_is_one_message(server, desk, values):
    status, answer = event(server, **values)
    assert status == 400 and answer["error"] and desk.session.past == ()


@pytest.mark.parametrize(("body", "length"), [(b"[]", None), (b"{", None), (b"{}", "70000"), (b"", "x")])
def test_bodies_that_are_no_objects_are_refused(server, body, length):
    assert ask(server, "POST", "/event", body, **({"Content-Length": length} if length else {}))[0] == 400


def test_nothing_can_be_finished_too_early(server, desk):
    status, _, content = ask(server, "POST", "/finish", b"{}")
    assert status == 400 and "no frame is taken" in json.loads(content)["error"]
    event(server, action="toggle", video=0, pts=3)
    assert ask(server, "POST", "/finish", b"{}")[0] == 200 and desk.wait() == "finish"
    status, answer = event(server, action="toggle", video=0, pts=4)
    assert status == 400 and "being written" in answer["error"]
    ending = threading.Thread(target=desk.end, args=("All done.",))
    ending.start()
    while json.loads(ask(server, path="/state")[2])["ending"]["words"] != "All done.":
        pass
    ending.join(timeout=1)
    assert not ending.is_alive(), "the command goes on once the page knows"


def test_a_span_offers_its_frames_only(video, tmp_path):
    span = Span(parse_position("1"), parse_position("20f"))
    with opened_desk([video], tmp_path, Question(span, Wishes(None))) as desk:
        assert desk.frames(0)["ordinals"] == list(range(10, 20))
        desk.looked()
        assert desk.frames(0)["ordinals"] == list(range(10, 20))
        with pytest.raises(AnnotatorError, match="no frame with pts 9"):
            desk.picture(0, 9, full=False)


def test_frames_that_are_lost_to_damage_are_offered_no_more(tmp_path):
    path = write_walk(tmp_path / "walk.mp4", 120)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 500] = random.Random(0).randbytes(500)
    path.write_bytes(content)
    good = {frame.id.pts: frame for frame in open_video(path).frames()}
    with opened_desk([open_video(path)], tmp_path, Question(WHOLE, Wishes(5))) as desk:
        desk.looked()
        listed = desk.frames(0)
        assert 20 < len(good) < 120 and listed["pts"] == list(good)
        assert listed["ordinals"] == [frame.ordinal for frame in good.values()]
        assert desk.state()["corrections"] == 1 and "frames lost" in desk.state()["videos"][0]["notes"][0]
        for pts, frame in random.Random(2).sample(sorted(good.items()), 15):
            place = int(np.searchsorted(desk.videos[0].shown.pts, pts))
            assert np.array_equal(desk.videos[0].seeker.frame(place).image, frame.image)


def test_a_port_that_is_taken_says_so(server, desk):
    with pytest.raises(AnnotatorError, match=f"port {server.port}: cannot be used"):
        PickingServer(desk, server.port)


def test_a_log_of_other_videos_is_refused(video, tmp_path):
    log = PickingLog(tmp_path / LOG_FILE)
    log.append(Event("take", (FrameId("f" * 64, 3),)))
    log.append(Event("undo"))
    log.append(Event("take", (FrameId("e" * 64, 3),)))
    log.close()
    with (
        pytest.raises(AnnotatorError, match="sha256 eeeeeeeeeeeeeeee…, which is none"),
        opened_desk([video], tmp_path, Question(WHOLE, Wishes(6))),
    ):
        pass
