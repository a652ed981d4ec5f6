"""A card goes into a model file and nothing else of it changes."""

import shutil
import warnings

import numpy as np
import pytest
from click.testing import CliRunner

from annotator.commands.export import command
from annotator.pose_model import load_pose_model
from cvat_export.skeleton import Skeleton
from tests.trainers.exported_networks import INPUT
from trainers.errors import TrainersError

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
onnx = pytest.importorskip("onnx")
from trainers.card_writing import write_card_into  # noqa: E402
from trainers.checkpoint import read_checkpoint, restore_network  # noqa: E402
from trainers.model_card import card_from_metadata, dump_card  # noqa: E402
from trainers.runtimes import Execution, open_session  # noqa: E402
from trainers.runtimes.formats import RUNTIMES, identify  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def foreign(checkpoints, pixels, tmp_path_factory):
    """Model files without a card, as somebody else would send them, and the card that fits them."""
    folder = tmp_path_factory.mktemp("foreign")
    path = checkpoints("simple-baseline")
    card = card_from_metadata(open_session(path).metadata, "test")
    network = restore_network(read_checkpoint(path))
    example = torch.zeros(2, 3, INPUT[1], INPUT[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(network, example).save(str(folder / "plain.torchscript"), _extra_files={"note.txt": "hello"})
        torch.onnx.export(network, (example,), folder / "plain.onnx", dynamo=False)
        model = onnx.load(folder / "plain.onnx")
        onnx.helper.set_model_props(model, {"author": "somebody"})
        onnx.save(model, folder / "plain.onnx")
        onnx.save(model, folder / "split.onnx", save_as_external_data=True, location="split.weights", size_threshold=0)
        torch.export.save(torch.export.export(network, (example,)), folder / "plain.pt2")
    return folder, card


@pytest.mark.parametrize("name", ["plain.torchscript", "plain.onnx", "plain.pt2"])
def test_a_card_into_a_foreign_model_changes_nothing_else(foreign, tmp_path, name):
    folder, card = foreign
    before = (folder / name).read_bytes()
    renamed = card.model_copy(update={"name": "second"})
    write_card_into(folder / name, card, tmp_path / name)
    assert (folder / name).read_bytes() == before
    write_card_into(tmp_path / name, renamed, tmp_path / name)  # replaces the card, in place
    assert [file.name for file in tmp_path.iterdir()] == [name]
    images = np.random.default_rng(1).normal(size=(2, 3, INPUT[1], INPUT[0])).astype(np.float32)
    for runtime in RUNTIMES[identify(folder / name).format]:
        old, new = (open_session(path / name, Execution(runtime)) for path in (folder, tmp_path))
        assert card_from_metadata(new.metadata, "test") == renamed
        assert {key: text for key, text in new.metadata.items() if key != "model_card.json"} == old.metadata
        for found, expected in zip(new.run(images), old.run(images), strict=True):
            assert np.array_equal(found, expected)


def test_onnx_keeps_every_field_and_its_weights_beside_it(foreign, tmp_path):
    folder, card = foreign
    write_card_into(folder / "split.onnx", card, folder / "with-card.onnx")
    old, new = (onnx.load(folder / name, load_external_data=False) for name in ("split.onnx", "with-card.onnx"))
    assert old.graph == new.graph and {entry.key for entry in new.metadata_props} == {"author", "model_card.json"}
    onnx.checker.check_model(folder / "with-card.onnx")
    with pytest.raises(TrainersError, match="weights are in a file beside it, write to"):
        write_card_into(folder / "split.onnx", card, tmp_path / "split.onnx")
    assert list(tmp_path.iterdir()) == []


def test_tensors_stay_where_they_can_be_mapped(foreign, tmp_path):
    write_card_into(foreign[0] / "plain.torchscript", foreign[1], tmp_path / "a.pt")
    reader = torch._C.PyTorchFileReader(str(tmp_path / "a.pt"))
    names = [name for name in reader.get_all_records() if name.startswith("data/")]
    assert names and all(reader.get_record_offset(name) % 64 == 0 for name in names)


def test_a_card_that_does_not_fit_is_not_written(foreign, checkpoints, tmp_path):
    folder, card = foreign
    other = card.model_copy(update={"skeleton": Skeleton("two", ("a", "b"))})
    with pytest.raises(TrainersError, match="2 joints of skeleton 'two'"):
        write_card_into(folder / "plain.onnx", other, tmp_path / "a.onnx")
    with pytest.raises(TrainersError, match=r"cannot be written into checkpoint.*best|simple-baseline\.card\.yaml"):
        write_card_into(checkpoints("simple-baseline"), card, tmp_path / "a.ckpt")
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_a_card(foreign, tmp_path):
    folder, card = foreign
    (tmp_path / "card.json").write_text(dump_card(card))
    copy = shutil.copy(folder / "plain.torchscript", tmp_path / "theirs.pt")
    refused = _run("--card-only", copy, "--card", tmp_path / "card.json")
    assert refused.exit_code == 2 and "--overwrite" in refused.output
    assert copy.read_bytes() == (folder / "plain.torchscript").read_bytes()
    assert _run("--card-only", copy, "--card", tmp_path / "card.json", "-o", tmp_path / "ours.pt").exit_code == 0
    assert copy.read_bytes() == (folder / "plain.torchscript").read_bytes()
    assert _run("--card-only", copy, "--card", tmp_path / "card.json", "--overwrite").exit_code == 0
    for name in ("ours.pt", "theirs.pt"):
        assert load_pose_model(tmp_path / name, None, Execution()).card == card


def _run(*arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])
