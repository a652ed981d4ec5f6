"""The whole way with a model of the project's own: train on drawn figures, export, pre-annotate others."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from annotator.cli import group
from cvat_export.coco import read_coco
from demo.__main__ import main as demo
from demo.comparison import compare
from demo.marker_models import write_models
from frame_tools.video import open_video


def _annotator(*arguments):
    result = CliRunner().invoke(group, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    """Footage of drawn figures, frames of its first three quarters with their truth, and frames of the rest."""
    folder = tmp_path_factory.mktemp("drawn")
    CliRunner().invoke(demo, ["footage", str(folder / "walkers.mp4"), "--truth", str(folder / "truth.json")])
    with open_video(folder / "walkers.mp4") as video:
        frames = sum(1 for _ in video.frames())
    end = f"{frames * 3 // 4}f"
    _annotator(
        "choose-frames",
        folder / "walkers.mp4",
        "-o",
        folder / "learnt/images",
        "--method",
        "every",
        "--step",
        "3",
        "--end",
        end,
    )
    _annotator("choose-frames", folder / "walkers.mp4", "-o", folder / "new", "-n", "16", "--start", end)
    truth = json.loads((folder / "truth.json").read_text())
    names = {path.name for path in (folder / "learnt/images").glob("*.jpg")}
    images = [row for row in truth["images"] if row["file_name"].rpartition("/")[2] in names]
    ids = {row["id"] for row in images}
    rows = [row for row in truth["annotations"] if row["image_id"] in ids]
    (folder / "learnt/labels.json").write_text(json.dumps({**truth, "images": images, "annotations": rows}))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("export_format", ["torchscript", "onnx", "openvino", "pt2"])
def test_a_trained_and_exported_model_finds_the_joints_of_new_figures(drawn, export_format):
    run = drawn / "run"
    if not run.exists():
        config = drawn / "config.yaml"
        config.write_text(
            f"data: {{train: {{path: {drawn}/learnt/labels.json, group: 'time:8'}}}}\n"
            "input: {width: 96, height: 128}\nepochs: 20\nema: 0.99\noptimizer: {learning_rate: 0.003}\n"
            "augmentation: {flip_probability: 0, saturation: 0, grey_probability: 0}\n"
        )
        _annotator("train", config, "-o", run)
    model = _annotator("export", run / "best.ckpt", "--format", export_format)
    detector, _ = write_models(drawn / "models")
    out = drawn / f"out-{export_format}"
    _annotator(
        "preannotate",
        drawn / "new",
        "-o",
        out,
        "--detection",
        detector,
        "--pose",
        model,
        "--precision",
        "f32",
        "--min-joint-score",
        "0",
    )
    found = compare(read_coco(drawn / "truth.json"), read_coco(out))
    print(found)
    assert found.found > 0.8 * found.people
    assert found.joints_right > 0.8 * found.joints
