"""What is taken from a file of weights, where joints go, and what is said of the rest."""

import pytest

from cvat_export.skeleton import Skeleton, read_skeleton
from trainers.errors import TrainersError

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")
from trainers.checkpoint import Checkpoint, NetworkSpec, write_checkpoint  # noqa: E402
from trainers.initial_weights import load_initial_weights  # noqa: E402
from trainers.model_card import parse_card  # noqa: E402
from trainers.networks import PoseNetwork, backbone_name, build_network  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

INPUT = (64, 64)
BASELINE = NetworkSpec("simple-baseline", "test_resnet", {"deconvolution_filters": 8})
CPM = NetworkSpec("cpm", None, {"stages": 3, "shared_features": True})
FOUR = Skeleton("four", ("nose", "left hand", "right hand", "tail"))
OTHER = Skeleton("other", ("right_hand", "ear", "NOSE"))


def make(spec, skeleton, visibility=False, seed=0):
    torch.manual_seed(seed)
    joints = len(skeleton.joints)
    body = build_network(spec.name, joints * (1 + visibility), INPUT, spec.backbone, spec.options)
    return PoseNetwork(body, joints, visibility).eval()


def save(network, spec, skeleton, path):
    card = parse_card(
        {
            "name": "x",
            "skeleton": {"name": skeleton.name, "joints": list(skeleton.joints)},
            "input": {"width": INPUT[0], "height": INPUT[1]},
            "head": {"kind": "heatmap", "alignment": "half-pixel"},
        },
        "test",
    )
    spec = NetworkSpec(spec.name, spec.backbone, spec.options, network.predicts_visibility)
    write_checkpoint(path, Checkpoint(card, spec, network.state_dict()))
    return path


def test_a_checkpoint_of_the_same_joints_is_taken_whole(tmp_path):
    source, network = make(BASELINE, FOUR), make(BASELINE, FOUR, seed=1)
    report = load_initial_weights(network, save(source, BASELINE, FOUR, tmp_path / "a.ckpt"), FOUR)
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in source.state_dict().items())
    assert (report.mismatched, report.missing, report.unexpected) == ((), (), ())
    assert report.joints_from == "4 of 4 by name from four"


def test_joints_of_another_skeleton_are_taken_by_name(tmp_path):
    source, network = make(BASELINE, FOUR), make(BASELINE, OTHER, seed=1)
    images = torch.rand(2, 3, *INPUT)
    begins_anew = network.body.final_layer.weight[1].clone()
    report = load_initial_weights(network, save(source, BASELINE, FOUR, tmp_path / "a.ckpt"), OTHER)
    with torch.no_grad():
        found, expected = network(images), source(images)
    torch.testing.assert_close(found[:, 0], expected[:, 2])
    torch.testing.assert_close(found[:, 2], expected[:, 0])
    assert torch.equal(network.body.final_layer.weight[1], begins_anew)
    assert report.joints_from == "2 of 3 by name from four; 1 begin anew: ear"
    assert "2 of 3 by name" in str(report) and str(tmp_path) in str(report)


def test_cpm_reads_the_belief_maps_of_the_same_joints(tmp_path):
    """With all joints there in another order, the whole network gives the same maps in that order."""
    turned = Skeleton("turned", ("tail", "right hand", "nose", "left hand"))
    source, network = make(CPM, FOUR), make(CPM, turned, seed=1)
    load_initial_weights(network, save(source, CPM, FOUR, tmp_path / "a.ckpt"), turned)
    images = torch.rand(1, 3, *INPUT)
    with torch.no_grad():
        found, expected = network.stages(images)[0], source.stages(images)[0]
    torch.testing.assert_close(found, expected[:, :, [3, 2, 0, 1]])


def test_cpm_of_fewer_joints_takes_columns_too(tmp_path):
    source, network = make(CPM, FOUR), make(CPM, OTHER, seed=1)
    load_initial_weights(network, save(source, CPM, FOUR, tmp_path / "a.ckpt"), OTHER)
    mine, theirs = network.body.later[0][0][0].weight, source.body.later[0][0][0].weight
    assert torch.equal(mine[:, :32], theirs[:, :32])
    assert torch.equal(mine[:, 32], theirs[:, 34]) and torch.equal(mine[:, 34], theirs[:, 32])


@pytest.mark.parametrize("spec", [BASELINE, CPM], ids=lambda spec: spec.name)
@pytest.mark.parametrize(("theirs", "ours"), [(True, True), (True, False), (False, True)])
def test_visibility_channels_go_with_their_joints(tmp_path, spec, theirs, ours):
    source, network = make(spec, FOUR, theirs), make(spec, OTHER, ours, seed=1)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    report = load_initial_weights(network, save(source, spec, FOUR, tmp_path / "a.ckpt"), OTHER)
    name = "body.final_layer.weight" if spec is BASELINE else "body.first.4.weight"
    mine, other = network.state_dict()[name], source.state_dict()[name]
    assert torch.equal(mine[0], other[2]) and torch.equal(mine[2], other[0]) and torch.equal(mine[1], before[name][1])
    if ours:
        assert torch.equal(mine[3], other[6] if theirs else before[name][3])
        assert torch.equal(mine[4], before[name][4])
    assert ("visibility begins anew" in report.joints_from) == (ours and not theirs)
    assert report.mismatched == ()


def test_a_skeleton_without_a_common_joint_leaves_the_last_layer(tmp_path):
    stranger = Skeleton("stranger", ("a", "b", "c", "d"))
    source, network = make(BASELINE, FOUR), make(BASELINE, stranger, seed=1)
    before = network.body.final_layer.weight.clone()
    report = load_initial_weights(network, save(source, BASELINE, FOUR, tmp_path / "a.ckpt"), stranger)
    assert torch.equal(network.body.final_layer.weight, before)
    assert report.joints_from.startswith("none: no joint of four")
    assert report.missing == ("body.final_layer.weight", "body.final_layer.bias")


@pytest.mark.parametrize("wrap", ["state_dict", "model", None])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "module.backbone."])
def test_a_timm_backbone_alone(tmp_path, wrap, prefix):
    torch.manual_seed(5)
    source = timm.create_model("test_resnet")
    content = {f"{prefix}{name}": tensor for name, tensor in source.state_dict().items()}
    torch.save({wrap: content, "epoch": 3, "best": torch.tensor(0.5)} if wrap else content, tmp_path / "resnet.pth")
    network = make(BASELINE, FOUR, seed=1)
    report = load_initial_weights(network, tmp_path / "resnet.pth", FOUR)
    mine = network.body.backbone.model.state_dict()
    theirs = source.state_dict()
    assert mine.keys() <= theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in mine.items())
    assert {name.rpartition("fc.")[2] for name in report.unexpected} == {"weight", "bias"}
    assert set(report.missing) == {
        name for name in network.state_dict() if ".backbone." not in name and "num_batches" not in name
    }
    assert report.joints_from == "none: the last layer begins anew"


def test_a_backbone_whose_stages_timm_renames(tmp_path):
    source = timm.create_model("test_convnext")
    torch.save(source.state_dict(), tmp_path / "convnext.pth")
    spec = NetworkSpec("simple-baseline", "test_convnext", {"deconvolution_filters": 8})
    network = make(spec, FOUR)
    report = load_initial_weights(network, tmp_path / "convnext.pth", FOUR)
    loaded = [name for name in report.loaded if ".backbone." in name]
    assert len(loaded) == len(network.body.backbone.state_dict())


def test_published_names_of_a_whole_network_fit(tmp_path):
    """The names that SimpleBaseline's authors, and others with a prefix for the head, give their layers."""
    source = make(BASELINE, FOUR)
    content = {}
    for name, tensor in source.body.state_dict().items():
        inner = name.removeprefix("backbone.model.")
        content[f"backbone.{inner}" if inner != name else f"keypoint_head.{name}"] = tensor
    torch.save({"state_dict": content, "meta": {"epoch": 1}}, tmp_path / "published.pth")
    network = make(BASELINE, FOUR, seed=1)
    report = load_initial_weights(network, tmp_path / "published.pth", FOUR)
    assert (report.missing, report.unexpected, report.mismatched) == ((), (), ())
    assert report.joints_from == "by place, for the file does not name them: its 4 maps in its own order"
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in source.state_dict().items())


def test_another_shape_is_reported_with_both(tmp_path):
    source = make(BASELINE, OTHER)
    torch.save(source.state_dict(), tmp_path / "weights.pt")
    report = load_initial_weights(make(BASELINE, FOUR, seed=1), tmp_path / "weights.pt", FOUR)
    assert report.mismatched == (
        "body.final_layer.weight (3, 8, 1, 1) for (4, 8, 1, 1)",
        "body.final_layer.bias (3,) for (4,)",
    )
    assert "2 of another shape, not loaded: body.final_layer.weight" in str(report)


def test_safetensors(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    source = timm.create_model("test_resnet")
    safetensors.save_file(source.state_dict(), tmp_path / "model.safetensors")
    network = make(BASELINE, FOUR, seed=1)
    load_initial_weights(network, tmp_path / "model.safetensors", FOUR)
    mine, theirs = network.body.backbone.model.state_dict(), source.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in mine.items())
    (tmp_path / "short.safetensors").write_bytes((tmp_path / "model.safetensors").read_bytes()[:100])
    with pytest.raises(TrainersError, match="cannot be read as safetensors"):
        load_initial_weights(network, tmp_path / "short.safetensors", FOUR)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"fc.weight": torch.zeros(3)}, "nothing in it fits the network: its tensors are fc.weight"),
        ({"epoch": 3}, "holds no state dict"),
        ([1, 2], "holds no state dict"),
        ({"model": timm.layers.Mlp(4)}, "cannot be read as weights: .*Unsupported global"),
    ],
)
def test_a_file_without_anything_of_use(tmp_path, content, said):
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(TrainersError, match=said):
        load_initial_weights(make(BASELINE, FOUR), tmp_path / "weights.pth", FOUR)


def test_no_file_and_no_weights(tmp_path):
    network = make(BASELINE, FOUR)
    with pytest.raises(TrainersError, match="no such file of weights"):
        load_initial_weights(network, tmp_path / "none.pth", FOUR)
    (tmp_path / "text.pth").write_text("weights")
    with pytest.raises(TrainersError, match="cannot be read as weights"):
        load_initial_weights(network, tmp_path / "text.pth", FOUR)


def test_nothing_is_loaded_where_it_fails(tmp_path):
    network = make(BASELINE, FOUR)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.save({"a": torch.zeros(2)}, tmp_path / "weights.pth")
    with pytest.raises(TrainersError):
        load_initial_weights(network, str(tmp_path / "weights.pth"), FOUR)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_timms_own_weights_are_taken_for_the_backbone(monkeypatch):
    """Made here: where nothing can be downloaded, the path is the same from the state dict on."""
    torch.manual_seed(1)
    source = timm.create_model("resnet18", pretrained=False)
    network = PoseNetwork(build_network("simple-baseline", 17, (64, 64), "resnet18"), 17)
    monkeypatch.setattr("timm.create_model", lambda name, pretrained: {("resnet18", True): source}[name, pretrained])
    report = load_initial_weights(network, "timm", read_skeleton("coco17"), "resnet18")
    weights = network.state_dict()
    for name, value in source.state_dict().items():
        if name.startswith("layer4"):
            assert any(own.endswith(name) and torch.equal(value, weights[own]) for own in weights), name
    assert "fc.weight" in report.unexpected


def test_weights_that_cannot_be_downloaded_are_said(monkeypatch):
    def refuse(name, pretrained):
        raise OSError("no route to host\nsecond line")

    network = PoseNetwork(build_network("cpm", 17, (64, 64), options={"stages": 1}), 17)
    monkeypatch.setattr("timm.create_model", refuse)
    with pytest.raises(TrainersError, match=r"those of 'resnet18' cannot be had: no route to host; download them on"):
        load_initial_weights(network, "timm", read_skeleton("coco17"), "resnet18")
    with pytest.raises(TrainersError, match="this network stands on no backbone of timm's"):
        load_initial_weights(network, "timm", read_skeleton("coco17"), backbone_name("cpm", None))
    assert backbone_name("lite-fpn", None) == "mobilenetv4_conv_small"
