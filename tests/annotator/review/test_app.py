"""The real App with its own MongoDB, in a real browser: skeletons are drawn, and what a person tags comes back."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from annotator.cli import group
from cvat_export.atomic import write_bytes
from cvat_export.coco import ANNOTATION_FILE, encode_coco
from cvat_export.dataset import Dataset
from cvat_export.export_reading import read_export
from cvat_export.skeleton import SIDE_COLOURS
from tests.annotator.review.app_window import (
    GRID,
    LOOKER,
    MODAL,
    Window,
    colour_places,
    count_colour,
    databases,
    environment,
    opened,
    review,
)
from tests.annotator.review.folders_to_review import frame_name, person, swapped, write_proposed

pytest.importorskip("fiftyone", reason="fiftyone is not installed (pip install 'cvat-pose-annotator[review]')")
pytestmark = pytest.mark.slow

PINK = "#ff3caa"


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir()
    yield tmp_path / "home"
    assert not databases(tmp_path / "home")


@pytest.fixture
def out(tmp_path):
    seen = [0, *[2] * 16]  # the App must not take one joint's colour for another's where some are missing
    people = {
        frame_name(0): (person(40, 30, visibility=seen),),
        frame_name(1): (swapped(person(110, 30)),),
        frame_name(2): (),
    }
    return write_proposed(tmp_path / "out", people)


def test_skeletons_are_seen_and_tags_come_back(out, home, headless, tmp_path):
    with opened(home, out) as said, headless("--window-size=1500,950") as driver:
        assert (said["frames"], said["added"], said["changed"], said["removed"]) == (3, 3, 0, 0)
        window = Window(driver, said["url"])
        assert len(window.all(LOOKER)) == 3
        shown = window.picture(tmp_path / "app-grid.png")
        left, right = (count_colour(shown[GRID], SIDE_COLOURS[side]) for side in ("left", "right"))
        assert min(left, right) > 200, "both sides, in their colours"
        turned = [left_of_right(shown, looker) for looker in window.all(LOOKER)[:2]]
        assert turned[0] > 0 > turned[1], "the second person is the wrong way round"
        for name in ("proposals", "proposals_left", "proposals_right"):
            window.click(f'[data-cy="checkbox-{name}"]')
        hidden = window.picture(tmp_path / "app-hidden.png")
        assert not any(count_colour(hidden[GRID], SIDE_COLOURS[side]) for side in ("left", "right"))
        assert count_colour(hidden[GRID], PINK) == 0 < 20 < count_colour(shown[GRID], PINK), "what crosses"
        window.tag_first("hard")
        window.picture(tmp_path / "app-tagged.png")
    with opened(home, out, "--no-similar") as said:
        assert (said["added"], said["changed"], said["removed"]) == (0, 0, 0)
    planned = json.loads(review(home, out, "--collect", "--dry-run", "--json").stdout)
    assert planned["hard"] == [frame_name(0)] and not (out / "review.jsonl").exists()
    assert json.loads(review(home, out, "--collect", "--json").stdout)["hard"] == [frame_name(0)]
    line = json.loads((out / "review.jsonl").read_text())
    assert (line["file_name"], line["tags"]) == (frame_name(0), ["hard"])
    assert review(home, out, "--collect").stdout == "nothing was tagged since the last time\n"
    assert json.loads(review(home, out, "--delete", "--json").stdout)["deleted"]
    assert "has no dataset" in review(home, out, "--collect").stderr


def test_a_second_look_keeps_tags_and_follows_the_folder(out, home, tmp_path):
    script = (
        "import sys, json; from pathlib import Path\n"
        "from annotator.review.fiftyone_dataset import open_dataset; from annotator.review.folders import read_review\n"
        "from annotator.review.looks import compare_looks\n"
        "dataset = open_dataset('d'); review = read_review(Path(sys.argv[1]))\n"
        "updated = dataset.update(review)\n"
        "if sys.argv[2] == 'tag':\n"
        "    sample = dataset.dataset.first(); sample.proposals.keypoints[0].tags.append('redo'); sample.save()\n"
        "compare_looks(review, dataset, lambda count: None)\n"
        "print(json.dumps({**vars(updated), 'tagged': [vars(one) for one in dataset.tagged_frames()],\n"
        "  'views': {n: len(dataset.dataset.load_saved_view(n)) for n in dataset.dataset.list_saved_views()},\n"
        "  'runs': dataset.dataset.list_brain_runs(), 'looks': len(dataset.looks())}))\n"
    )
    first = run(script, home, out, "tag")
    assert first["added"] == 3 and first["looks"] == 3 and sorted(first["runs"]) == ["likeness", "looks_and_poses"]
    assert first["tagged"][0]["tags"] == ["redo"]
    assert first["tagged"][0]["places_xyxy"][0] == pytest.approx([34, 28, 46, 84], abs=0.1)
    assert first["views"]["worst"] == 3 and first["views"]["empty frames"] == 1 and first["views"]["by video"] == 1
    other = tmp_path / "other"
    write_proposed(other, {frame_name(0): (person(60, 30),), frame_name(1): (swapped(person(110, 30)),)})
    other.rename(out.rename(tmp_path / "before").parent / "out")
    second = run(script, home, out, "look")
    assert (second["added"], second["changed"], second["removed"]) == (0, 1, 1)
    assert second["tagged"][0]["tags"] == ["redo"] and second["tagged"][0]["places_xyxy"] == []


def run(script: str, home: Path, *words: object) -> dict:
    command = [sys.executable, "-c", script, *map(str, words)]
    result = subprocess.run(command, env=environment(home), capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_without_mongodb_it_is_said_what_to_do(home):
    script = "from annotator.review.fiftyone_dataset import open_dataset\nfrom annotator.errors import AnnotatorError\n"
    script += "import json, os, sys; os.environ['FIFTYONE_DATABASE_URI'] = sys.argv[1]\n"
    script += (
        "try:\n    open_dataset('d')\nexcept AnnotatorError as error:\n    print(json.dumps({'said': str(error)}))\n"
    )
    said = run(script, home, "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100")
    assert "MongoDB does not answer" in said["said"]


@pytest.mark.shared_data
def test_people_of_a_video_and_a_cat(shared_data, home, headless, tmp_path):
    frames, people = tmp_path / "frames", tmp_path / "people"
    video = shared_data / "videos" / "people_one_by_one.mp4"
    for words in (
        ["choose-frames", str(video), "-o", str(frames), "-n", "6"],
        ["preannotate", str(frames), "-o", str(people)],
    ):
        assert CliRunner().invoke(group, words).exit_code == 0
    cat = write_cat(shared_data / "cats", tmp_path / "cat")
    for folder, words in ((people, ["--frames", frames]), (cat, [])):
        with opened(home, folder, *words) as said, headless("--window-size=1500,950") as driver:
            window = Window(driver, said["url"])
            window.picture(tmp_path / f"review-{folder.name}-grid.png")
            driver.execute_script("arguments[0].click()", window.all(f"{LOOKER} canvas")[0])
            window.settle()
            shown = window.picture(tmp_path / f"review-{folder.name}.png")[MODAL]
            assert min(count_colour(shown, SIDE_COLOURS[side]) for side in ("left", "right")) > 100


def left_of_right(shown, looker) -> float:
    """How far the left side's colour lies to the right of the right side's in a sample's picture, px."""
    place = looker.rect
    rows, columns = (
        slice(int(place["y"]), int(place["y"] + place["height"])),
        slice(int(place["x"]), int(place["x"] + place["width"])),
    )
    means = [colour_places(shown[rows, columns], SIDE_COLOURS[side])[1].mean() for side in ("left", "right")]
    return float(means[0] - means[1])


def write_cat(cats: Path, folder: Path) -> Path:
    """Two labelled cats as a folder of proposals."""
    dataset = read_export(cats / "annotations" / "cat_keypoints_test.json").dataset
    images = [image for image in dataset.images if image.instances][:2]
    (folder / "images").mkdir(parents=True)
    (folder / ANNOTATION_FILE).parent.mkdir()
    for image in images:
        (folder / "images" / image.file_name).symlink_to(cats / "images" / image.file_name)
    write_bytes(folder / ANNOTATION_FILE, encode_coco(Dataset(dataset.categories, tuple(images))))
    return folder
