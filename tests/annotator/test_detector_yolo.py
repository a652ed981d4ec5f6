"""Ultralytics networks with random weights in every format; Ultralytics' own predictions are the oracle."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from annotator.detector import DetectionOptions, detect_image, load_detector
from annotator.detectors.yolo_pose import load_one_stage
from annotator.errors import AnnotatorError
from trainers.errors import TrainersError
from trainers.runtimes import Execution

torch = pytest.importorskip("torch")
if find_spec("ultralytics") is None:  # not importorskip: a plain import changes how Pillow opens files
    pytest.skip("ultralytics is not installed", allow_module_level=True)
sys.path.insert(0, str(Path(__file__).parent))
from yolo_models import SIDE_PX, convert_to_openvino, export_pt2, export_yolo, make_yolo  # noqa: E402

OPTIONS = DetectionOptions(classes=("0", "1", "2"), min_score=0.4, iou=0.6)
ARCHITECTURES = {"yolo11n": False, "yolo11n-pose": False, "yolov10n": True, "yolo26n-pose": True}
FILES = {  # file of an architecture -> runtimes that run it
    "pt": ("torch", "openvino"),
    "torchscript": ("torch", "openvino"),
    "onnx": ("openvino", "onnxruntime"),
    "onnx-dynamic": ("openvino", "onnxruntime"),
    "openvino": ("openvino",),
    "pt2": ("torch", "openvino"),
}
CASES = [
    (architecture, file, runtime)
    for architecture in ARCHITECTURES
    for file, runtimes in FILES.items()
    for runtime in runtimes
    if file != "pt2" or architecture.startswith("yolo11")  # torch.export takes half a minute a network
]
UNSUPPORTED = {  # OpenVINO 2026.4 refuses the GatherElements of Ultralytics' end-to-end pose head
    ("yolo26n-pose", "onnx", "openvino"),
    ("yolo26n-pose", "onnx-dynamic", "openvino"),
    ("yolo26n-pose", "openvino", "openvino"),
}


def images():
    """Coloured noise of low frequency, in three shapes."""
    random = np.random.default_rng(11)
    for height, width in ((240, 320), (320, 240), (160, 160)):
        coarse = random.integers(0, 256, (height // 16, width // 16, 3), np.uint8)
        yield np.kron(coarse, np.ones((16, 16, 1), np.uint8))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Made as they are asked for: (architecture, file) -> path."""
    folder = tmp_path_factory.mktemp("yolo")
    made = {}

    def make(architecture, file):
        key = architecture, file
        if key not in made:
            target = folder / f"{architecture}-{file}"
            nms = {"nms": False} if ARCHITECTURES[architecture] else {}
            if file == "pt":
                made[key] = make_yolo(architecture, target.with_suffix(".pt"))
            elif file == "openvino":
                made[key] = convert_to_openvino(make(architecture, "onnx"), target)
            elif file == "pt2":
                made[key] = export_pt2(make(architecture, "pt"), target.with_suffix(".pt2"))
            else:
                kind, _, dynamic = file.partition("-")
                made[key] = export_yolo(
                    make(architecture, "pt"), kind, target, **nms, **({"dynamic": True} if dynamic else {})
                )
        return made[key]

    return make


def predicted(path, image, pose):
    """Boxes, scores, class names and joints, as Ultralytics finds them."""
    from ultralytics import YOLO

    result = YOLO(path, task="pose" if pose else "detect", verbose=False).predict(
        image[..., ::-1].copy(), imgsz=SIDE_PX, conf=0.4, iou=0.6, verbose=False, device="cpu"
    )[0]
    bbox_xyxy = result.boxes.xyxy.numpy()
    joints = result.keypoints.xy.numpy() if pose else np.zeros((len(bbox_xyxy), 0, 2))
    inside = (bbox_xyxy[:, 2:] - bbox_xyxy[:, :2]).min(axis=1, initial=np.inf) > 0  # it keeps boxes without area
    names = np.array([result.names[int(index)] for index in result.boxes.cls])
    return bbox_xyxy[inside], result.boxes.conf.numpy()[inside], names[inside], joints[inside]


def share_found(wanted, among):
    """The share of one set's boxes that the other has too: class, score, corners and joints all near.

    Not all: among hundreds of overlapping boxes suppression and threshold stand on a knife's edge for a few.
    """
    found = 0
    for bbox_xyxy, score, name, joints in zip(*wanted, strict=True):
        near = (np.abs(among[0] - bbox_xyxy).max(axis=1) < 0.6) & (np.abs(among[1] - score) < 2e-3)
        near &= np.asarray(among[2]) == name
        near &= np.abs(among[3] - joints).reshape(len(near), -1).max(axis=1, initial=0) < 0.6
        found += near.any()
    return found / len(wanted[0])


ORACLES = [(a, f, r) for a, f, r in CASES if f in ("pt", "onnx", "onnx-dynamic", "torchscript")]


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "file", "runtime"), ORACLES)
def test_boxes_are_those_of_ultralytics(files, architecture, file, runtime):
    pose = architecture.endswith("-pose")
    path = files(architecture, file)
    execution = Execution(runtime=runtime, precision="f32")
    if (architecture, file, runtime) in UNSUPPORTED:
        with pytest.raises(TrainersError, match="OpenVINO cannot load it"):
            load_detector(str(path), OPTIONS, execution)
        return
    detector = load_one_stage(path, OPTIONS, execution) if pose else load_detector(str(path), OPTIONS, execution)
    prepared = [detector.prepare("x", image) for image in images()]
    for image, (boxes, keypoints) in zip(images(), detector.detect_poses(prepared), strict=True):
        expected = predicted(path, image, pose)
        joints = keypoints.xy.clip(0, (image.shape[1], image.shape[0])) if pose else keypoints.xy  # as theirs are
        got = (boxes.bbox_xyxy, boxes.scores, boxes.class_names, joints)
        assert len(expected[0]) >= 3
        assert share_found(expected, got) > 0.95
        assert share_found(got, expected) > 0.95


# A .pt runs its one-to-many head, as Ultralytics' predict does, where its exports run end to end.
COMPARABLE = [c for c in CASES if c not in UNSUPPORTED and not (ARCHITECTURES[c[0]] and c[1] == "pt")]


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "file", "runtime"), COMPARABLE)
def test_every_format_and_runtime_finds_the_same(files, architecture, file, runtime):
    """Against Ultralytics' network in torch; images are square, as not every file takes other shapes."""
    square = [image[:160, :160] for image in images()]
    found = []
    for name, which in (("torchscript", "torch"), (file, runtime)):
        detector = load_detector(str(files(architecture, name)), OPTIONS, Execution(runtime=which, precision="f32"))
        found.append(detector.detect_poses([detector.prepare("x", image) for image in square]))
    for one, other in zip(*found, strict=True):
        rows = [(boxes.bbox_xyxy, boxes.scores, boxes.class_names, points.xy) for boxes, points in (one, other)]
        assert len(rows[0][0]) >= 3
        assert share_found(rows[0], rows[1]) > 0.95
        assert share_found(rows[1], rows[0]) > 0.95


def test_a_yolo_file_just_works_and_leaves_no_trace(files, tmp_path):
    path = files("yolo11n", "pt")
    code = (
        "import os, sys\n"
        "from annotator.detector import DetectionOptions, load_detector\n"
        "from trainers.runtimes import Execution\n"
        "import numpy as np\n"
        "detector = load_detector(sys.argv[1], DetectionOptions(min_score=0.4), Execution())\n"
        "boxes = detector.detect([detector.prepare('x', np.zeros((90, 120, 3), np.uint8))])[0]\n"
        "assert set(boxes.class_names) <= {'person'}, boxes.class_names\n"
        "assert not [name for name in os.environ if name.startswith(('YOLO', 'OMP'))], os.environ\n"
        "import torch; assert torch.get_num_threads() == len(os.sched_getaffinity(0)), torch.get_num_threads()\n"
    )
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    result = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_a_yolo_file_that_wants_more_is_refused_and_never_loaded_by_ultralytics(tmp_path):
    import ultralytics.nn.tasks as tasks

    proof = tmp_path / "proof"

    class Evil:
        def __reduce__(self):
            return open, (str(proof), "w")

    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1))
    network.extra = Evil()
    torch.save({"model": network}, tmp_path / "evil.pt")
    with pytest.raises(TrainersError, match=r"wants to run .*open.*--trust"):
        load_detector(str(tmp_path / "evil.pt"), OPTIONS, Execution())

    # A model class whose constructor evaluates its argument.
    class Constructed:
        def __reduce__(self):
            return tasks.DetectionModel, ({"activation": f"open({str(proof)!r}, 'w')", "nc": 1},)

    torch.save({"model": Constructed()}, tmp_path / "constructed.pt")
    with pytest.raises(TrainersError, match="wants to construct ultralytics"):
        load_detector(str(tmp_path / "constructed.pt"), OPTIONS, Execution())
    assert not proof.exists()


def test_a_checkpoint_of_another_family_is_refused(tmp_path):
    torch.save({"state_dict": {"weight": torch.ones(2)}}, tmp_path / "other.pt")
    with pytest.raises(TrainersError, match="a checkpoint without a YOLO network"):
        load_detector(str(tmp_path / "other.pt"), OPTIONS, Execution())


def test_a_detector_is_no_pose_model(files):
    with pytest.raises(AnnotatorError, match="a detector without joints"):
        load_one_stage(files("yolo11n", "pt"), OPTIONS, Execution())
    pose = load_one_stage(files("yolo11n-pose", "pt"), OPTIONS, Execution())
    assert pose.joint_count == 17
    assert len(detect_image(pose, "x", next(images()))) == len(
        detect_image(load_detector(str(files("yolo11n-pose", "pt")), OPTIONS, Execution()), "x", next(images()))
    )
