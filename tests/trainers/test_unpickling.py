"""Attacks: whatever a pickle or an archive wants to run, it must not run, and the message must name it."""

import io
import json
import pickle
import shutil
import sys
import tarfile
import warnings
import zipfile
from pathlib import Path

import pytest

from trainers.errors import TrainersError
from trainers.runtimes import Execution, open_session
from trainers.runtimes.formats import ModelFormat, identify
from trainers.runtimes.unpickling import PickleFamily, load_pickle

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).parent))
from network_files import Tiny  # noqa: E402

PLAIN = PickleFamily("plain torch")


class Attack:
    """Creates a file when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


class EvalAttack(Attack):
    def __reduce__(self):
        return eval, (f"open({str(self.path)!r}, 'w')",)


class ConstructorAttack(Attack):
    """Calls an allowed class instead of filling it."""

    def __reduce__(self):
        return torch.nn.Linear, (3, 3)


def state_attack(path):
    """Smuggles the attack in through an allowed module's state."""
    module = torch.nn.Identity()
    module.hook = EvalAttack(path)
    return module


@pytest.fixture
def proof(tmp_path):
    """The file that appears if an attack works."""
    return tmp_path / "proof"


def write_zip(content, path):
    torch.save(content, path)


def write_legacy(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


def write_bare_pickle(content, path):
    path.write_bytes(pickle.dumps(content, protocol=2))


def write_modern_pickle(content, path):
    path.write_bytes(pickle.dumps(content, protocol=4))


def write_tar(content, path):
    with tarfile.open(path, "w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            data = pickle.dumps(content, protocol=2)
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


WRITERS = [write_zip, write_legacy, write_bare_pickle, write_modern_pickle, write_tar]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("attack", [Attack, EvalAttack, state_attack])
@pytest.mark.parametrize("suffix", [".pt", ".torchscript", ".onnx"])
def test_a_pickle_runs_nothing(tmp_path, proof, write, attack, suffix):
    path = tmp_path / f"model{suffix}"
    write({"model": attack(proof)}, path)
    assert identify(path).format is ModelFormat.PICKLE
    with pytest.raises(TrainersError):
        load_pickle(identify(path), PLAIN, trust=False)
    with pytest.raises(TrainersError):
        open_session(path)
    assert not proof.exists()


@pytest.mark.parametrize("write", [write_zip, write_legacy])
def test_the_attacks_are_real(tmp_path, proof, write):
    path = tmp_path / "model.pt"
    write({"model": EvalAttack(proof)}, path)
    load_pickle(identify(path), PLAIN, trust=True)
    assert proof.exists()


@pytest.mark.parametrize("write", [write_zip, write_legacy])
def test_a_refusal_names_what_was_wanted(tmp_path, proof, write):
    path = tmp_path / "model.pt"
    write({"model": EvalAttack(proof)}, path)
    with pytest.raises(TrainersError, match=r"wants to run builtins\.eval.*--trust"):
        load_pickle(identify(path), PLAIN, trust=False)


def test_an_allowed_class_is_not_called(tmp_path, proof):
    path = tmp_path / "model.pt"
    write_zip({"model": ConstructorAttack(proof)}, path)
    with pytest.raises(TrainersError, match="construct"):
        load_pickle(identify(path), PLAIN, trust=False)


def test_modules_and_tensors_come_back_whole(tmp_path):
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.SiLU()).eval()
    path = tmp_path / "model.pt"
    write_zip({"model": network, "epoch": 3}, path)
    loaded = load_pickle(identify(path), PLAIN, trust=False)
    images = torch.rand(2, 3, 8, 8)
    assert type(loaded["model"]) is torch.nn.Sequential
    assert loaded["epoch"] == 3
    torch.testing.assert_close(loaded["model"](images), network(images))


def test_weights_of_the_format_before_1_6_are_read(tmp_path):
    path = tmp_path / "model.pt"
    write_legacy({"weight": torch.arange(4.0)}, path)
    torch.testing.assert_close(load_pickle(identify(path), PLAIN, trust=False)["weight"], torch.arange(4.0))


def test_inert_names_are_read_past(tmp_path):
    path = tmp_path / "model.pt"
    write_zip({"path": Path("/tmp"), "weights": torch.ones(2)}, path)
    family = PickleFamily("with paths", inert=("pathlib.",))
    loaded = load_pickle(identify(path), family, trust=False)
    assert type(loaded["path"]).__name__ == "Inert"
    torch.testing.assert_close(loaded["weights"], torch.ones(2))
    with pytest.raises(TrainersError, match=r"pathlib\.PosixPath"):
        load_pickle(identify(path), PLAIN, trust=False)


def test_a_pickle_with_a_zip_behind_it_is_still_a_pickle(tmp_path, proof):
    path = tmp_path / "model.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Tiny()).save(str(tmp_path / "good"))
    path.write_bytes(pickle.dumps(Attack(proof), protocol=2) + (tmp_path / "good").read_bytes())
    assert identify(path).format is ModelFormat.PICKLE
    with pytest.raises(TrainersError):
        open_session(path)
    assert not proof.exists()


@pytest.fixture(scope="module")
def pt2(tmp_path_factory):
    path = tmp_path_factory.mktemp("pt2") / "tiny.pt2"
    shapes = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(Tiny().eval(), (torch.rand(2, 3, 32, 32),), dynamic_shapes=shapes), path)
    return path


def rewritten(source, target, change):
    """A copy of an archive whose members went through `change(name, content)`, None drops one."""
    writer = torch._C.PyTorchFileWriter(str(target))
    reader = torch._C.PyTorchFileReader(str(source))
    for name in reader.get_all_records():
        if name.startswith(".data/") or name in ("byteorder", "version"):
            continue
        content = change(name, reader.get_record(name))
        if content is not None:
            writer.write_record(name, content, len(content))
    writer.write_end_of_file()
    return target


def pickled(attack):
    buffer = io.BytesIO()
    torch.save(attack, buffer)
    return buffer.getvalue()


def refused(path, proof):
    for runtime in ("torch", "openvino"):
        with pytest.raises(TrainersError):
            session = open_session(path, Execution(runtime=runtime))
            session.run(__import__("numpy").zeros((2, 3, 32, 32), "float32"))
    assert not proof.exists()
    return True


def test_the_rewriting_itself_does_no_harm(pt2, tmp_path):
    copy = rewritten(pt2, tmp_path / "copy.pt2", lambda _, content: content)
    assert open_session(copy).inputs[0].shape == (None, 3, 32, 32)


def test_pt2_sample_inputs_run_nothing(pt2, tmp_path, proof):
    def change(name, content):
        return pickled(EvalAttack(proof)) if name.startswith("data/sample_inputs/") else content

    assert refused(rewritten(pt2, tmp_path / "bad.pt2", change), proof)


@pytest.mark.parametrize("kind", ["weights", "constants"])
def test_pt2_pickled_tensors_run_nothing(pt2, tmp_path, proof, kind):
    def change(name, content):
        if name == f"data/{kind}/model_{kind}_config.json":
            entry = {
                "path_name": f"{kind[:-1] if kind == 'weights' else 'tensor'}_0",
                "is_param": False,
                "use_pickle": True,
                "tensor_meta": None,
            }
            return json.dumps({"config": {"stem.weight": entry}}).encode()
        if name == "data/weights/weight_0":
            return pickled(EvalAttack(proof))
        return content

    path = rewritten(pt2, tmp_path / "bad.pt2", change)
    if kind == "constants":
        path = with_member(path, "data/constants/tensor_0", pickled(EvalAttack(proof)))
    assert refused(path, proof)


def with_member(path, name, content):
    target = path.with_name("more.pt2")
    writer = torch._C.PyTorchFileWriter(str(target))
    reader = torch._C.PyTorchFileReader(str(path))
    for known in reader.get_all_records():
        if not known.startswith(".data/") and known not in ("byteorder", "version"):
            record = reader.get_record(known)
            writer.write_record(known, record, len(record))
    writer.write_record(name, content, len(content))
    writer.write_end_of_file()
    return target


def test_pt2_opaque_objects_run_nothing(pt2, tmp_path, proof):
    def change(name, content):
        if name == "data/constants/model_constants_config.json":
            entry = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
            return json.dumps({"config": {"x": entry}}).encode()
        return content

    path = rewritten(pt2, tmp_path / "bad.pt2", change)
    path = with_member(path, "data/constants/opaque_obj_0", pickle.dumps(EvalAttack(proof)))
    with pytest.raises(TrainersError, match="the pickled object opaque_obj_0"):
        open_session(path)
    assert not proof.exists()


def test_pt2_expressions_run_nothing(pt2, tmp_path, proof):
    expression = f"open({str(proof)!r}, 'w')"

    def change(name, content):
        if name == "models/model.json":
            return content.replace(b"Symbol('s", f"Add({expression!r}) + Symbol('s".encode().replace(b'"', b'\\"'))
        return content

    assert refused(rewritten(pt2, tmp_path / "bad.pt2", change), proof)


def test_pt2_operators_are_torchs_own(pt2, tmp_path, proof):
    def change(name, content):
        return content.replace(b"torch.ops.aten.relu.default", b"torch.os.system") if "models/" in name else content

    with pytest.raises(TrainersError, match=r"torch\.os\.system"):
        open_session(rewritten(pt2, tmp_path / "bad.pt2", change))


def test_pt2_guards_run_nothing(pt2, tmp_path, proof):
    def change(name, content):
        if name != "models/model.json":
            return content
        document = json.loads(content)
        document["guards_code"] = [f"open({str(proof)!r}, 'w') is not None"]
        return json.dumps(document).encode()

    assert refused(rewritten(pt2, tmp_path / "bad.pt2", change), proof)


def test_pt2_in_the_old_layout_is_refused(pt2, tmp_path, proof):
    path = tmp_path / "old.pt2"
    shutil.copy(pt2, path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("version", "8.8")
        archive.writestr("serialized_exported_program.json", "{}")
        archive.writestr("serialized_state_dict.pt", pickled(EvalAttack(proof)))
    assert refused(path, proof)
