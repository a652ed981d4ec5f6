"""The command says what is wrong, draws it, and tells by its exit code whether a training would go wrong."""

import json
import re
import subprocess

import pytest
from click.testing import CliRunner

from annotator.cli import group
from annotator.errors import AnnotatorError
from cvat_export.errors import CvatExportError
from tests.trainers.labelled_folders import content, subject, write_folder, write_image, write_json, write_zip


def _run(*arguments):
    """Exit code, stdout, stderr; known errors as `main` shows them."""
    result = CliRunner().invoke(group, ["check", *map(str, arguments)], standalone_mode=False)
    if result.exception:
        raise result.exception
    return result.return_value or 0, result.stdout, result.stderr


def _problems(folder):
    return [json.loads(line) for line in (folder / "problems.jsonl").read_text().splitlines()]


@pytest.fixture
def labels(tmp_path):
    return write_folder(tmp_path / "set", [f"{n}.png" for n in range(4)])


def test_sound_labels_exit_0_and_what_is_known_of_them_is_printed(labels):
    code, out, err = _run(labels)
    assert code == 0
    assert "training: 4 images, 4 subjects of 'mouse' to train on" in out
    assert re.search(r"warning +few_subjects +1", out)
    assert "each of 4 images is a group of its own" in err


def test_errors_exit_3_and_are_listed_and_drawn(labels, tmp_path):
    (labels / "images" / "1.png").unlink()
    write_image(labels / "images" / "2.png", size=(32, 24))
    (labels / "images" / "3.png").write_bytes((labels / "images" / "3.png").read_bytes()[:-40])
    out = tmp_path / "check"
    code, printed, _ = _run(labels, "-o", out)
    assert code == 3 and str(out) in printed
    errors = [(p["kind"], p["file_name"]) for p in _problems(out) if p["severity"] == "error"]
    assert errors == [("missing_image", "1.png"), ("unreadable_image", "3.png"), ("other_size", "2.png")]
    assert set(_problems(out)[0]) == {"kind", "severity", "text", "fix", "file_name", "instance", "joints"}
    page = (out / "report.html").read_text()
    assert page.count("<figure role") == 3 and "missing_image" in page
    for link in re.findall(r'<img[^>]* src="([^"]+)"', page):
        assert (out / link).stat().st_size > 0


def test_pictures_show_the_subject_and_no_more_than_asked(labels, tmp_path):
    path = labels / "annotations" / "labels.json"
    rows = json.loads(path.read_text())
    rows["annotations"] += [subject(9 + n, n, x=10.5) for n in (1, 2, 3)]
    path.write_text(json.dumps(rows))
    out = tmp_path / "check"
    _run(labels, "-o", out, "--pictures", 2)
    page = (out / "report.html").read_text()
    assert page.count("<figure role") == 2 and "2 of 3" not in page and "problems.jsonl: 1." in page
    assert "0.png, number 2" in page and len(list((out / "report_files").iterdir())) == 2


def test_the_same_again_replaces_the_page_and_strangers_are_kept(labels, tmp_path):
    out = tmp_path / "check"
    for _ in range(2):
        assert _run(labels, "-o", out)[0] == 0
    with pytest.raises(AnnotatorError, match="is not empty"):
        _run(labels, "-o", labels)
    assert sorted(file.name for file in labels.iterdir()) == ["annotations", "images"]


def test_what_is_in_both_splits_is_an_error(labels, tmp_path):
    validation = write_folder(tmp_path / "val", ["x.png", "y.png"], seed=40)
    (validation / "images" / "y.png").write_bytes((labels / "images" / "2.png").read_bytes())
    code, out, _ = _run(labels, "--validation", write_zip(tmp_path / "val.zip", validation), "-o", tmp_path / "check")
    assert code == 3 and "the same picture as 2.png in training" in out
    found = _problems(tmp_path / "check" / "validation")
    assert [p["file_name"] for p in found if p["kind"] == "same_image_in_both"] == ["y.png"]
    assert (tmp_path / "check" / "validation" / "report.html").exists()


def test_a_video_in_both_splits_is_an_error(tmp_path):
    one = write_folder(tmp_path / "one", ["a-0f3a9c21-0.png"])
    two = write_folder(tmp_path / "two", ["a-0f3a9c21-512.png"], seed=9)
    code, out, _ = _run(one, "--validation", two)
    assert code == 3 and "video 0f3a9c21: 1 images in training, 1 in validation" in out


def test_images_that_are_there_twice_are_named(labels, tmp_path):
    (labels / "images" / "3.png").write_bytes((labels / "images" / "0.png").read_bytes())
    code, out, _ = _run(labels, "--validation", write_folder(tmp_path / "val", ["x.png"], seed=40))
    assert code == 0 and "3.png: the same file as 0.png" in out


def test_json_says_the_same_in_numbers(labels):
    code, out, _ = _run(labels, "--json", "--group", "time:2")
    result = json.loads(out)["training"]
    assert (code, result["images"], result["subjects"], result["groups"]) == (0, 4, 4, 2)
    assert (result["errors"], result["warnings"]) == (0, len(result["problems"]))
    assert result["joints"][2] == {"joint": "right_ear", "labelled": 4, "occluded": 4, "outside": 0}


def test_the_skeleton_and_the_category_may_be_said(labels, tmp_path):
    skeleton = tmp_path / "two.yaml"
    skeleton.write_text("name: two\njoints: [nose, tail, fin]\nedges: [[nose, tail]]\n")
    _, out, err = _run(labels, "--skeleton", skeleton, "--category", "mouse")
    assert "fin: labelled in 0 of 4 subjects" in out and "left_ear, right_ear left out" in err


def test_a_file_that_cannot_be_read_is_a_failure(labels, tmp_path):
    path = write_json(tmp_path, {**content(["a.png"]), "categories": []}, "labels.json")
    with pytest.raises(CvatExportError):
        _run(path, "-o", tmp_path / "check")
    assert not (tmp_path / "check").exists()


def test_images_without_any_label_are_no_crash(tmp_path):
    labels = {**content(["a.png", "b.png"]), "annotations": []}
    code, out, _ = _run(write_folder(tmp_path / "set", ["a.png", "b.png"], labels), "-o", tmp_path / "check")
    assert code == 3 and "nothing_labelled" in out and "image_without_labels" in out


@pytest.mark.shared_data
def test_the_cat_that_is_nowhere(shared_data, tmp_path, chromium):
    annotations = shared_data / "cats" / "annotations"
    out = tmp_path / "check"
    arguments = [annotations / "cat_keypoints_train.json", "--validation", annotations / "cat_keypoints_test.json"]
    assert _run(*arguments, "-o", out)[0] == 3
    errors = [p for p in _problems(out) if p["severity"] == "error"]
    assert {p["file_name"] for p in errors} == {"train_137.jpg"}
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    command = [
        chromium,
        *flags,
        f"--user-data-dir={tmp_path / 'profile'}",
        "--dump-dom",
        (out / "report.html").as_uri(),
    ]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert re.search(r"<output>(\d+) of \1</output>", dom)
