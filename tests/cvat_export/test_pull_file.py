"""pull --from-zip: exports that people downloaded, in each format, against the folder that was pushed."""

import json
import zipfile

import click
import cvat_sdk
import pytest

from annotator.commands import pull as pull_command
from cvat_export.coco import read_coco
from cvat_export.export_reading import FORMATS
from tests.cvat_export.cvat_datasets import COCO, changes, person, push, run, write_out
from tests.cvat_export.export_formats import as_cvat_datumaro, as_cvat_xml

COCO_KEYPOINTS, CVAT_XML, DATUMARO = FORMATS
PEOPLE = [[person(40, 30), person(200, 60)], [person(90, 30)], []]


@pytest.fixture
def out(server, tmp_path):
    """A folder that was pushed, and of which people corrected two subjects."""
    folder = write_out(tmp_path / "out", PEOPLE)
    push(folder)
    (task,) = server.state.tasks
    shapes = {shape["frame"]: shape["id"] for shape in server.state.shapes(task)}
    server.state.edit_joint(task, shapes[1], "nose", 4, 3)
    server.state.delete_shape(task, shapes[0])
    return folder


def download(server, path, export_format=COCO_KEYPOINTS, with_images=False, change=lambda content: content):
    """A task as CVAT exports it; the stand-in's COCO file, changed and written in another format."""
    (task,) = server.state.tasks
    coco = path.with_name("coco.zip")
    with cvat_sdk.make_client(server.url, access_token=server.token) as client:
        client.config.status_check_period = 0.05
        client.tasks.retrieve(task).export_dataset(COCO_KEYPOINTS, coco, include_images=with_images)
    with zipfile.ZipFile(coco) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            if not name.endswith(".json"):
                target.writestr(name, source.read(name))
                continue
            content = change(json.loads(source.read(name)))
            if export_format == CVAT_XML:
                target.writestr("annotations.xml", as_cvat_xml(content))
            elif export_format == DATUMARO:
                target.writestr("annotations/default.json", as_cvat_datumaro(content))
            else:
                target.writestr(name, json.dumps(content))
    return path


def pull_file(path, output, *more, finished="yes"):
    return run(pull_command, "--from-zip", path, "--finished", finished, "-o", output, *more)


@pytest.mark.parametrize("export_format", FORMATS)
def test_a_downloaded_export_is_compared_with_the_folder_that_was_pushed(server, out, tmp_path, export_format):
    path = download(server, tmp_path / "task.zip", export_format)
    code, _, stderr = pull_file(path, tmp_path / "corrected", "--proposals", out)
    assert code == 0, stderr
    rows = changes(tmp_path / "corrected")
    assert sorted(row["fate"] for row in rows) == ["confirmed", "confirmed_empty", "deleted", "edited"]
    (edited,) = [row for row in rows if row["fate"] == "edited"]
    assert [joint["joint"] for joint in edited["joints"]] == ["nose"]
    assert edited["joints"][0]["moved_px"] == pytest.approx(5, abs=0.01)
    assert all(row.get("shape") is None for row in rows)
    corrected = read_coco(tmp_path / "corrected")
    assert corrected.images[1].instances[0].bbox_xyxy.tolist() != [0, 0, 0, 0]
    for image in corrected.images:
        pixels = (tmp_path / "corrected" / "images" / image.file_name).read_bytes()
        assert pixels == (out / "images" / image.file_name).read_bytes()


@pytest.mark.parametrize("export_format", FORMATS)
def test_an_export_with_images_needs_nothing_else(server, out, tmp_path, export_format):
    path = download(server, tmp_path / "task.zip", export_format, with_images=True)
    code, _, stderr = pull_file(path, tmp_path / "corrected")
    assert code == 0, stderr
    assert [row["fate"] for row in changes(tmp_path / "corrected")] == ["added", "added", "confirmed_empty"]
    dataset = read_coco(tmp_path / "corrected")
    (category,) = dataset.categories
    assert category.skeleton.joints == COCO.joints
    for image in dataset.images:
        pixels = (tmp_path / "corrected" / "images" / image.file_name).read_bytes()
        assert pixels == (out / "images" / image.file_name).read_bytes()


def test_what_is_not_finished_is_no_truth(server, out, tmp_path):
    path = download(server, tmp_path / "task.zip")
    assert pull_file(path, tmp_path / "corrected", "--proposals", out, finished="no")[0] == 0
    assert [row["fate"] for row in changes(tmp_path / "corrected")] == ["machine_only"] * 3
    assert not read_coco(tmp_path / "corrected").images


def test_images_that_are_nowhere_are_named_and_left_out(server, out, tmp_path):
    path = download(server, tmp_path / "task.zip")
    assert pull_file(path, tmp_path / "corrected")[0] == 3
    assert "frame_000.jpg" in (tmp_path / "corrected" / "errors.jsonl").read_text()
    assert not read_coco(tmp_path / "corrected").images


def without_first_image(content):
    first = content["images"][0]["id"]
    content["annotations"] = [row for row in content["annotations"] if row["image_id"] != first]
    content["images"] = content["images"][1:]
    return content


def test_proposals_of_images_that_the_export_lacks_are_named_and_not_taken_for_deleted(server, out, tmp_path):
    path = download(server, tmp_path / "task.zip", change=without_first_image)
    code, _, stderr = pull_file(path, tmp_path / "corrected", "--proposals", out)
    assert code == 3 and "1 things were not taken" in stderr
    assert [row["fate"] for row in changes(tmp_path / "corrected")] == ["edited", "confirmed_empty"]
    assert "image frame_000:" in (tmp_path / "corrected" / "errors.jsonl").read_text()


def rename_label(content):
    content["categories"][0]["name"] = "human"
    return content


def rename_joint(content):
    content["categories"][0]["keypoints"][0] = "snout"
    return content


def add_joint(content):
    content["categories"][0]["keypoints"].append("tail")
    for row in content["annotations"]:
        row["keypoints"] += [1.0, 2.0, 2]
    return content


def share_a_name(content):
    content["images"][1]["file_name"] = "other/frame_000.jpg"
    return content


@pytest.mark.parametrize(
    ("change", "words"),
    [(rename_label, "human"), (rename_joint, "snout"), (add_joint, "tail"), (share_a_name, "told apart")],
)
def test_an_export_that_cannot_be_compared_is_refused_before_anything_is_written(server, out, tmp_path, change, words):
    path = download(server, tmp_path / "task.zip", change=change)
    code, _, stderr = pull_file(path, tmp_path / "corrected", "--proposals", out)
    assert code == 1 and words in stderr
    assert not (tmp_path / "corrected").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--from-zip", "x.zip"],
        ["--project", "Match 12", "--finished", "yes"],
        ["--from-zip", "x.zip", "--finished", "yes", "--project", "Match 12"],
        ["--from-zip", "x.zip", "--finished", "yes", "--task", 1],
        ["--project", "Match 12", "--proposals", "."],
    ],
)
def test_options_that_do_not_go_together_are_misuse(server, tmp_path, arguments):
    (tmp_path / "x.zip").touch()
    with pytest.raises(click.UsageError, match="--"):
        run(pull_command, *arguments, "-o", tmp_path / "corrected")
    assert not server.requests
