"""What is learnt from and what is measured by: every way of mixing the two, or of letting proposals in, is tried."""

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from annotator.errors import AnnotatorError
from annotator.journal import FrameRow
from annotator.truth import LabelledFrame, Proposed, check_truth, divide, without_proposals
from cvat_export.dataset import Category, Dataset, LabelledImage
from cvat_export.labels import Instance
from cvat_export.skeleton import Skeleton
from trainers.image_files import ImageRef
from trainers.near_doubles import CELLS, PicturePrint, picture_print

PAIR = Skeleton("pair", ("a", "b"))
VIDEO, OTHER = "ab" * 32, "cd" * 32


def instance(x=10.0, score=None):
    return Instance("pair", (0, 0, 40, 40), [(x, 10.0), (20.0, 30.0)], (2, 2), score)


def name(pts, video=VIDEO):
    return f"walk-{video[:8]}-{pts}.jpg"


def row(pts, role="pool", video=VIDEO):
    return FrameRow(video, pts, name(pts, video), pts / 10, role, 1 if role == "selected" else None)


def pixels(seed):
    """A scene of its own: soft shapes, as compression leaves them."""
    grid = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    return np.asarray(Image.fromarray(grid).resize((640, 480), Image.Resampling.BICUBIC))


def write(path, image, quality=95):
    Image.fromarray(image).save(path, quality=quality)
    return picture_print(ImageRef(path))


@pytest.fixture
def frame(tmp_path):
    """A labelled frame with a picture of its own."""

    def make(file_name, origin="pulled", seed=None, image=None, quality=95, instances=None):
        shown = pixels(zlib.crc32(file_name.encode()) if seed is None else seed) if image is None else image
        found = write(tmp_path / f"{origin}-{file_name}", shown, quality)
        people = (instance(),) if instances is None else instances
        return LabelledFrame(origin, LabelledImage(file_name, 640, 480, people), found)

    return make


def split(frames, roles, apart_seconds):
    """With the evaluation frames among the pulled as all that were drawn."""
    held_out = {one.file for one in roles if one.role == "evaluation"}
    drawn = {f.image.file_name: f.print for f in frames if f.origin == "pulled" and f.image.file_name in held_out}
    return divide(frames, drawn, roles, apart_seconds)


def names(images):
    return [image.file_name for image in images]


def test_frames_go_where_the_journal_says(frame):
    found = split([frame(name(0)), frame(name(50))], [row(0, "evaluation"), row(50, "selected")], 1.0)
    assert names(found.evaluation) == [name(0)]
    assert {origin: names(images) for origin, images in found.training.items()} == {"pulled": [name(50)]}
    assert not found.left_out


@pytest.mark.parametrize(
    "make",
    [
        lambda image: image,
        lambda image: np.asarray(Image.fromarray(image).resize((960, 720))),
        lambda image: np.asarray(Image.fromarray(image).resize((320, 240))),
        lambda image: np.asarray(Image.fromarray(image).convert("L").convert("RGB")),
    ],
    ids=["copied", "enlarged", "shrunk", "without colour"],
)
@pytest.mark.parametrize("quality", [95, 60])
def test_a_picture_of_the_evaluation_set_never_trains_under_another_name(frame, make, quality):
    image = pixels(1)
    kept = frame(name(0), image=image)
    copy = frame("holiday.jpg", "import-1", image=make(image), quality=quality)
    found = split([kept, copy], [row(0, "evaluation")], 1.0)
    assert not found.training
    (left,) = found.left_out
    assert (left.file_name, left.origin) == ("holiday.jpg", "import-1") and name(0) in left.reason


def test_a_picture_of_an_evaluation_frame_that_nobody_has_finished_never_trains(frame):
    """It may be measured by in the next round, and the old model is measured again then."""
    image = pixels(1)
    copy = frame("holiday.jpg", "import-1", image=image, quality=60)
    found = divide([copy], {name(0): frame(name(0), image=image).print}, [row(0, "evaluation")], 1.0)
    assert not found.training and name(0) in found.left_out[0].reason


def test_an_import_of_an_evaluation_frame_is_neither_learnt_from_nor_measured_by(frame):
    theirs = frame(name(0), "import-1", seed=5)  # even with other pixels
    found = split([frame(name(0)), theirs], [row(0, "evaluation")], 1.0)
    assert names(found.evaluation) == [name(0)] and not found.training
    assert "kept for measuring" in found.left_out[0].reason
    alone = split([theirs], [row(0, "evaluation")], 1.0)
    assert not alone.evaluation and not alone.training


@pytest.mark.parametrize(("pts", "video", "learnt"), [(9, VIDEO, False), (10, VIDEO, True), (9, OTHER, True)])
def test_neighbours_in_time_are_left_out(frame, pts, video, learnt):
    roles = [row(0, "evaluation"), row(pts, "selected", video)]
    found = split([frame(name(0)), frame(name(pts, video))], roles, 1.0)
    assert bool(found.training) is learnt
    assert bool(found.left_out) is not learnt


def test_pictures_that_only_resemble_are_learnt_from(frame):
    """The same room with somebody who has moved."""
    room = pixels(3)
    moved = room.copy()
    moved[160:360, 240:360] = 255 - moved[160:360, 240:360]
    found = split([frame(name(0), image=room), frame(name(50), image=moved)], [row(0, "evaluation"), row(50)], 1.0)
    assert names(found.training["pulled"]) == [name(50)]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["pool", "evaluation", "selected"]), min_size=1, max_size=25),
    st.lists(st.booleans(), min_size=25, max_size=25),
)
def test_whatever_is_labelled_no_frame_is_on_both_sides(roles, imported):
    rows = [row(20 * number, role) for number, role in enumerate(roles)]
    rng = np.random.default_rng(0)
    frames = []
    for one, is_import in zip(rows, imported, strict=False):
        looks = PicturePrint(one.file, rng.integers(0, 255, CELLS * CELLS).astype(np.uint8))
        origin = "import-1" if is_import else "pulled"
        frames.append(LabelledFrame(origin, LabelledImage(one.file, 24, 24, (instance(),)), looks))
    found = split(frames, rows, 1.0)
    learnt = {file for images in found.training.values() for file in names(images)}
    held_out = {one.file for one in rows if one.role == "evaluation"}
    assert not learnt & held_out
    assert set(names(found.evaluation)) <= held_out
    assert learnt | set(names(found.evaluation)) | {one.file_name for one in found.left_out} == {r.file for r in rows}


def test_what_a_model_proposed_is_taken_out_of_imports(frame):
    proposal = instance()
    touched, added = instance(10.5), instance(90.0)
    theirs = frame(name(50), "import-1", instances=(instance(), touched, added))
    kept, notes = without_proposals(theirs, Proposed.of([instance(30.0), proposal], 2))
    assert kept.image.instances == (touched, added)
    assert len(notes) == 1 and "exactly as a model proposed" in notes[0].reason
    same, none = without_proposals(theirs, Proposed.of([], 2))
    assert len(same.image.instances) == 3 and not none


def change(file_name, fate, finished=True):
    return {"file_name": file_name, "fate": fate, "finished": finished}


def labelled(**images):
    found = tuple(LabelledImage(f"{name}.jpg", 9, 9, (instance(),) * count) for name, count in images.items())
    return Dataset((Category("pair", PAIR),), found)


def test_a_pulled_dataset_that_is_truth_passes():
    rows = [change("a.jpg", "edited"), change("a.jpg", "deleted"), change("b.jpg", "confirmed_empty")]
    check_truth(labelled(a=1, b=0), [*rows, change("c.jpg", "machine_only", finished=False)], "corrected")


@pytest.mark.parametrize(
    ("dataset", "rows", "words"),
    [
        (labelled(a=1), [change("a.jpg", "machine_only", finished=False)], "no finished job"),
        (labelled(a=1), [], "no finished job"),
        (labelled(a=2), [change("a.jpg", "confirmed")], "has 2 subjects"),
        (labelled(a=1), [change("a.jpg", "deleted")], "has 1 subjects"),
    ],
    ids=["unfinished", "unknown image", "an extra subject", "a deleted proposal that came back"],
)
def test_proposals_nobody_looked_at_stop_everything(dataset, rows, words):
    with pytest.raises(AnnotatorError, match=words):
        check_truth(dataset, rows, "corrected")


def test_bad_frames_are_not_learnt_from_but_still_measured_by(frame):
    frames = [frame(name(0)), frame(name(100)), frame(name(200))]
    roles = [row(0, "evaluation"), row(100, "selected"), row(200, "selected")]
    bad = {frames[0].key, frames[1].key}
    division = divide(frames, {}, roles, 0.0, bad)
    assert [image.file_name for image in division.training["pulled"]] == [name(200)]
    assert [image.file_name for image in division.evaluation] == [name(0)]
    (left_out,) = division.left_out
    assert (left_out.file_name, left_out.reason) == (name(100), "somebody tagged it as a bad frame in review")
