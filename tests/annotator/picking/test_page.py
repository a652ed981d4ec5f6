"""The page in a real browser, by keyboard alone, down to the bytes of the manifest."""

import json
import random
import signal
from contextlib import contextmanager
from dataclasses import replace

import pytest
from click.testing import CliRunner

from annotator.commands.choose_frames import command
from annotator.picking.session import MARKS, Event, Session
from frame_tools.frame import FrameId
from frame_tools.images import read_manifest
from tests.annotator.browser import until as wait_until
from tests.annotator.picking.walks import Picking, write_walk

PATIENCE_SECONDS = 20


@contextmanager
def browser(headless, width=1280, height=860, dark=False, zoom=1):
    """Its console has no error in the end."""
    with headless("--disable-gpu") as driver:
        size = {"width": width // zoom, "height": height // zoom, "deviceScaleFactor": zoom, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        if dark:
            scheme = [{"name": "prefers-color-scheme", "value": "dark"}]
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        yield driver
        problems = [line for line in driver.get_log("browser") if line["level"] == "SEVERE"]
        assert not problems, problems


def until(condition, what):
    wait_until(condition, what, PATIENCE_SECONDS)


def open_page(driver, address, looked=True):
    driver.get(address)
    until(lambda: driver.execute_script("return document.body.dataset.ready") == "yes", "the page is ready")
    if looked:
        until(lambda: driver.execute_script("return document.getElementById('looking').hidden"), "all looked at")


def press(driver, *keys):
    """Each a character or `shift+NAME`, NAME of selenium's Keys."""
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    for key in keys:
        shift, _, name = key.rpartition("shift+")
        actions = ActionChains(driver, duration=0)
        code = getattr(Keys, name, name)
        if key.startswith("shift+") or shift:
            actions = actions.key_down(Keys.SHIFT).send_keys(code).key_up(Keys.SHIFT)
        else:
            actions = actions.send_keys(code)
        actions.perform()


def text(driver, name):
    return driver.find_element("id", name).text


def shown_as(driver, name):
    return driver.execute_script("return document.getElementById('picture').dataset.shown") == name


def choose(*arguments):
    result = CliRunner().invoke(command, [str(argument) for argument in arguments], standalone_mode=False)
    assert result.exception is None, result.exception


def lines_of(folder):
    return (folder / "manifest.jsonl").read_text("utf-8").splitlines()


STEPS = {"ARROW_RIGHT": 1, "ARROW_LEFT": -1, "shift+ARROW_RIGHT": 10, "shift+ARROW_LEFT": -10}
KEYS = (*STEPS, *STEPS, "HOME", "END", " ", " ", " ", *(mark[0] for mark in MARKS), "u")


class Person:
    """Presses keys by lot, and knows what must come of them. frames: all of all videos, in the page's order."""

    def __init__(self, frames, seed):
        self.frames, self.at, self.session, self.rng = frames, 0, Session(), random.Random(seed)
        self.changes = 0

    def next_key(self):
        key = self.rng.choice(KEYS)
        if key in STEPS:
            self._step(STEPS[key])
        elif key in ("HOME", "END"):
            mine = [n for n, frame in enumerate(self.frames) if frame.source_sha256 == self._here.source_sha256]
            self.at = mine[0] if key == "HOME" else mine[-1]
        elif key == "u":
            self._undo()
        else:
            self._change(self._event(key))
        return key

    @property
    def _here(self):
        return self.frames[self.at]

    def reopen(self):
        """Where the page begins: at the frame that was changed last."""
        self.at = self.frames.index(self.session.past[-1][0][0])

    def _step(self, count):
        """Beyond a video's end comes the next one's beginning, however many frames were asked for."""
        there = min(max(self.at + count, 0), len(self.frames) - 1)
        crossed = self.frames[there].source_sha256 != self._here.source_sha256
        step = 1 if count > 0 else -1
        while crossed and self.frames[there - step].source_sha256 != self._here.source_sha256:
            there -= step
        self.at = there

    def _undo(self):
        if self.session.past:
            changed = self.session.past[-1][0][0]
            self._change(Event("undo"))
            self.at = self.frames.index(changed)

    def _change(self, event):
        self.session = self.session.after(event)
        self.changes += 1

    def _event(self, key):
        pick = self.session.pick(self._here)
        if key == " ":
            return Event("drop" if pick.taken else "take", (self._here,))
        mark = next(mark for mark in MARKS if mark[0] == key)
        return Event("unmark" if pick.taken and mark in pick.marks else "mark", (self._here,), (mark,))


@pytest.mark.slow
def test_a_hundred_keys_and_a_kill_end_in_the_manifest_expected(headless, tmp_path):
    varying = [0, 1, 2, 7, 8, 20, 21, 22, 23, 30, 31, 33, 36, 40, 41, 42, 43, 44, 52, 60]
    videos = [write_walk(tmp_path / "b.mp4", 40), write_walk(tmp_path / "a.mp4", 20, seed=1, pts=varying)]
    choose(*videos, "-o", tmp_path / "all", "--method", "every", "--step", 1)
    every = {FrameId(entry.sha256, entry.pts): entry for entry in read_manifest(tmp_path / "all")}
    person = Person(list(every), seed=3)
    arguments = (*videos, "-o", tmp_path / "frames", "--want", "strange=2")
    with browser(headless) as driver:
        with Picking(*arguments) as first:
            open_page(driver, first.address)
            press(driver, *(person.next_key() for _ in range(60)))
            kept = tmp_path / "frames" / "picking.jsonl"
            until(lambda: kept.read_bytes().count(b"\n") == person.changes, "every key is kept")
            first.process.send_signal(signal.SIGKILL)
        with kept.open("ab") as log:
            log.write(b'{"action": "ta')  # as a kill in the middle of a write leaves it
        person.reopen()
        with Picking(*arguments) as second:
            assert any("not kept whole (14 bytes)" in line for line in second.told)
            open_page(driver, second.address)
            press(driver, *(person.next_key() for _ in range(60)))
            press(driver, "f")
            until(lambda: text(driver, "question") == f"Write {len(person.session.taken)} frames?", "it asks")
            press(driver, "ENTER")
            until(lambda: "are written to" in text(driver, "consequence"), "it says that it is done")
            code, stdout, stderr = second.end()
    assert (code, stdout.strip()) == (0, str(tmp_path / "frames")) and "frames chosen" in stderr
    taken = [frame for frame in every if frame in person.session.taken]
    picks = [person.session.pick(frame) for frame in taken]
    expected = [
        replace(every[frame], reason=pick.reason, quality={**every[frame].quality, **pick.figures})
        for frame, pick in zip(taken, picks, strict=True)
    ]
    assert len(expected) > 5 and any(pick.marks for pick in picks)
    assert lines_of(tmp_path / "frames") == [entry.to_json_line() for entry in expected]
    for entry in expected:
        name = entry.file
        assert (tmp_path / "frames" / name).read_bytes() == (tmp_path / "all" / name).read_bytes()
    assert len([*(tmp_path / "frames").glob("*.jpg")]) == len(expected)


@pytest.mark.slow
def test_accepting_all_suggestions_gives_what_the_command_chooses(headless, tmp_path):
    video = write_walk(tmp_path / "walk.mp4")
    choose(video, "-o", tmp_path / "chosen", "-n", 6, "--want", "blurry=1")
    kinds = ("--want", "blurry=1", "--want", "strange=2", "--want", "crowded=1")
    asked = (video, "-o", tmp_path / "f", "-n", 6, *kinds)
    with browser(headless) as driver, Picking(*asked) as picking:
        open_page(driver, picking.address)
        assert (text(driver, "mark-strange").split()[-3:], text(driver, "count")) == (["0", "of", "2"], "0 of 6 taken")
        press(driver, "n", "a")
        until(lambda: text(driver, "said") == "suggestion taken", "one is accepted")
        press(driver, "shift+a", "f")
        until(lambda: text(driver, "question").startswith("Write"), "it asks")
        press(driver, "ENTER")
        assert picking.end()[0] == 0
    chosen, picked = read_manifest(tmp_path / "chosen"), read_manifest(tmp_path / "f")
    assert [
        replace(e, reason=f"picked by hand: suggested: {e.reason}", quality={**e.quality, "suggested": 1.0})
        for e in chosen
    ] == picked
    for entry in picked:
        assert (tmp_path / "f" / entry.file).read_bytes() == (tmp_path / "chosen" / entry.file).read_bytes()


@pytest.mark.slow
def test_stepping_shows_each_frame_and_says_where(headless, tmp_path):
    videos = [write_walk(tmp_path / "a.mp4", 30), write_walk(tmp_path / "b.mp4", 12, seed=1)]
    with browser(headless) as driver, Picking(*videos, "-o", tmp_path / "f", "-n", 4) as picking:
        open_page(driver, picking.address)
        for key, name, words in (
            ("ARROW_RIGHT", "/frame/0/1", "frame 1 (2 of 30)"),
            ("shift+ARROW_RIGHT", "/frame/0/11", "frame 11 (12 of 30)"),
            ("ARROW_LEFT", "/frame/0/10", "frame 10 (11 of 30)"),
            ("END", "/frame/0/29", "frame 29 (30 of 30)"),
            ("ARROW_RIGHT", "/frame/1/0", "frame 0 (1 of 12)"),
            ("PAGE_UP", "/frame/0/0", "frame 0 (1 of 30)"),
            ("v", "/frame/1/0", "frame 0 (1 of 12)"),
            ("z", "/frame/1/0?full=1", "frame 0 (1 of 12)"),
        ):
            press(driver, key)
            until(lambda name=name: shown_as(driver, name), f"{name} after {key}")
            assert text(driver, "frame") == words
        press(driver, " ")
        until(lambda: text(driver, "said") == "taken", "it is said")
        live = driver.find_element("id", "said")
        assert (live.get_attribute("role"), live.get_attribute("aria-live")) == ("status", "polite")
        assert "taken" in driver.find_element("id", "picture").get_attribute("alt")
        assert driver.find_element("id", "ruler").get_attribute("aria-valuetext").startswith("frame 0")
        press(driver, "q")
        until(lambda: text(driver, "question") == "Go on later?", "it asks")
        press(driver, "ENTER")
        code, stdout, stderr = picking.end()
    assert (code, stdout) == (130, "") and "1 frames are taken and kept; the same command goes on" in stderr
    assert not (tmp_path / "f" / "manifest.jsonl").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("zoom", "dark"), [(1, False), (2, True)])
def test_nothing_is_cut_off_and_focus_is_seen(headless, tmp_path, zoom, dark):
    video = write_walk(tmp_path / ("a video with a rather long name of its own " + "x" * 40 + ".mp4"))
    with (
        browser(headless, dark=dark, zoom=zoom) as driver,
        Picking(video, "-o", tmp_path / "f", "-n", 4) as picking,
    ):
        open_page(driver, picking.address)
        width = driver.execute_script("return [document.scrollingElement.scrollWidth, innerWidth]")
        assert width[0] <= width[1] == 1280 // zoom
        assert driver.execute_script("return document.activeElement.id") == "stage"
        seen = []
        for _ in range(20):
            press(driver, "TAB")
            script = "const e = document.activeElement; return [e.id, getComputedStyle(e).outlineStyle]"
            seen.append(tuple(driver.execute_script(script)))
        assert {"ruler", "toggle", "mark-strange", "accept", "undo", "ask-help", "ask-finish"} <= {n for n, _ in seen}
        assert all(style == "solid" for name, style in seen if name)
        press(driver, "?")
        assert driver.execute_script("return document.getElementById('help').open")
        assert text(driver, "keys").count("take") > 5


@pytest.mark.slow
def test_ctrl_c_keeps_everything_and_another_process_is_refused(tmp_path):
    video = write_walk(tmp_path / "walk.mp4")
    arguments = (video, "-o", tmp_path / "f", "-n", 4)
    with Picking(*arguments) as picking:
        with pytest.raises(AssertionError, match="another page is open on this folder"):
            Picking(*arguments)
        picking.process.send_signal(signal.SIGINT)
        code, stdout, stderr = picking.end()
    assert (code, stdout) == (130, "")
    assert "0 frames are taken and kept" in stderr and "Traceback" not in stderr


def test_picking_again_after_finishing_replaces_the_frames(tmp_path, monkeypatch):
    """Without a browser: what the keys would have written is in the log."""
    video = write_walk(tmp_path / "walk.mp4")
    folder = tmp_path / "f"
    monkeypatch.setattr("annotator.picking.desk.Desk.wait", lambda desk: desk.looked() and "finish")
    monkeypatch.setattr("annotator.picking.desk.FAREWELL_SECONDS", 0)
    choose(video, "-o", tmp_path / "all", "--method", "every", "--step", 1)
    sha256 = read_manifest(tmp_path / "all")[0].sha256

    def add(action, pts):
        event = Event(action, (FrameId(sha256, pts),))
        with (folder / "picking.jsonl").open("a") as log:
            log.write(json.dumps(event.to_json()) + "\n")

    arguments = (video, "-o", folder, "-n", 3, "--interactive", "--no-browser")
    choose(*arguments)
    assert lines_of(folder) == []
    add("take", 3)
    add("take", 30)
    choose(*arguments)
    assert [entry.pts for entry in read_manifest(folder)] == [3, 30]
    add("drop", 3)
    choose(*arguments)
    assert [entry.pts for entry in read_manifest(folder)] == [30] and len([*folder.glob("*.jpg")]) == 1
    choose(*arguments, "--overwrite")
    assert lines_of(folder) == [] and [*folder.glob("*.jpg")] == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-n", 3, "--want", "strange=1"), "--want strange needs --interactive"),
        (("-n", 3, "--port", 8080), "--port belongs to --interactive"),
        (("--interactive", "--method", "every", "-n", 3), "--step"),
        (("--interactive", "-n", 3, "--want", "strange=4"), "more than -n 3"),
    ],
)
def test_misuse_is_explained_before_any_work(tmp_path, options, words):
    video = write_walk(tmp_path / "walk.mp4", 4)
    result = CliRunner().invoke(command, [str(o) for o in (video, "-o", tmp_path / "frames", *options)])
    assert result.exit_code == 2 and words in result.stderr
    assert not (tmp_path / "frames").exists()
