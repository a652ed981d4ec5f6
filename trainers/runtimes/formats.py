"""What kind of model a file is, told from its content: names lie, and a .pt may be three different things."""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from xml.etree import ElementTree

from trainers.errors import TrainersError
from trainers.runtimes.onnx_file import is_onnx


class ModelFormat(StrEnum):
    """The formats that the toolkit knows, by the names that messages use."""

    OPENVINO_IR = "OpenVINO IR"
    ONNX = "ONNX"
    TFLITE = "TFLite"
    TORCHSCRIPT = "TorchScript"
    PT2 = "torch.export (pt2)"
    CHECKPOINT = "checkpoint"
    PICKLE = "PyTorch pickle"


RUNTIMES: dict[ModelFormat, tuple[str, ...]] = {  # who can run a format, the one that "auto" takes first
    ModelFormat.OPENVINO_IR: ("openvino",),
    ModelFormat.ONNX: ("openvino", "onnxruntime"),
    ModelFormat.TFLITE: ("openvino",),
    ModelFormat.TORCHSCRIPT: ("openvino", "torch"),
    ModelFormat.PT2: ("openvino", "torch"),
    ModelFormat.CHECKPOINT: ("torch",),
    ModelFormat.PICKLE: (),
}
CHECKPOINT_KEY = "checkpoint.json"  # the extra file that makes weights a checkpoint, see trainers/checkpoint.py
_KNOWN = "TorchScript, pt2, ONNX, TFLite, an OpenVINO .xml or its folder, a checkpoint, or an Ultralytics .pt"
_PICKLE_PROTOCOLS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


@dataclass(frozen=True)
class ModelFile:
    """A model on disk. path: the file a runtime opens; for an OpenVINO folder the .xml in it."""

    path: Path
    format: ModelFormat


def identify(path: Path) -> ModelFile:
    """What the file or folder at `path` is. Raises TrainersError where it is no model."""
    if path.is_dir():
        path = _xml_in(path)
    if not path.exists():
        raise TrainersError(f"{path}: no such model file; expected {_KNOWN}")
    with path.open("rb") as stream:
        head = stream.read(1024)
    if not head:
        raise TrainersError(f"{path}: the file is empty; expected {_KNOWN}")
    if head[4:8] == b"TFL3":
        return ModelFile(path, ModelFormat.TFLITE)  # before zip: Ultralytics appends one to its TFLite files
    if head.startswith(b"PK\x03\x04"):  # not is_zipfile: a zip at the end of a pickle is still a pickle
        return ModelFile(path, _zip_format(path))
    if head.lstrip().startswith(b"<"):
        return ModelFile(path, _xml_format(path))
    if head.startswith(_PICKLE_PROTOCOLS) or tarfile.is_tarfile(path):
        return ModelFile(path, ModelFormat.PICKLE)
    if is_onnx(path):
        return ModelFile(path, ModelFormat.ONNX)
    raise TrainersError(f"{path}: not a model: {_guess(path, head)}; expected {_KNOWN}")


def model_parts(model: ModelFile) -> tuple[Path, ...]:
    """The model's file, and the weights beside it: an IR's .bin, ONNX's .data."""
    if model.format is ModelFormat.OPENVINO_IR:
        return model.path, model.path.with_suffix(".bin")
    external = model.path.with_name(f"{model.path.name}.data")  # as torch's exporter names it
    if model.format is ModelFormat.ONNX and external.is_file():
        return model.path, external
    return (model.path,)


def hash_model(model: ModelFile) -> str:
    """SHA-256 of the model, hexadecimal, with the weights beside its file."""
    digest = hashlib.sha256()
    for part in model_parts(model):
        with part.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _xml_in(folder: Path) -> Path:
    found = sorted(folder.glob("*.xml"))
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise TrainersError(f"{folder}: an OpenVINO folder holds one .xml with its .bin; got {names}")
    return found[0]


def _zip_format(path: Path) -> ModelFormat:
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.partition("/")[2] or name for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError) as error:
        raise TrainersError(f"{path}: damaged: {error}; copy or export it again") from error
    if "constants.pkl" in names and any(name.startswith("code/") for name in names):
        return ModelFormat.TORCHSCRIPT
    if "archive_format" in names or "serialized_exported_program.json" in names:
        return ModelFormat.PT2
    if {"data.pkl", f"extra/{CHECKPOINT_KEY}"} <= names:
        return ModelFormat.CHECKPOINT
    if "data.pkl" in names:
        return ModelFormat.PICKLE
    raise TrainersError(f"{path}: a zip file, but no model: it holds {', '.join(sorted(names)[:3])}; expected {_KNOWN}")


def _xml_format(path: Path) -> ModelFormat:
    try:
        _, root = next(ElementTree.iterparse(path, events=("start",)))
    except (ElementTree.ParseError, StopIteration) as error:
        raise TrainersError(f"{path}: not a model: no valid XML ({error}); expected {_KNOWN}") from error
    if root.tag != "net":
        raise TrainersError(f"{path}: an XML file with the root <{root.tag}>, expected <net>: not an OpenVINO IR")
    if not path.with_suffix(".bin").is_file():
        raise TrainersError(f"{path}: its weights {path.with_suffix('.bin').name} are missing beside it")
    return ModelFormat.OPENVINO_IR


def _guess(path: Path, head: bytes) -> str:
    if path.suffix == ".bin" and path.with_suffix(".xml").is_file():
        return f"these are the weights of {path.with_suffix('.xml').name}, name that file"
    if head.startswith(b"\x89HDF"):
        return "an HDF5 (Keras) file, convert it to ONNX or TFLite"
    if path.suffix in (".engine", ".trt", ".plan"):
        return "a TensorRT engine runs on one machine only, export the model to ONNX"
    if head[8:10] == b'{"':
        return "safetensors hold weights without a network, export the model to ONNX or TorchScript"
    if b"\0" not in head and head.isascii():
        return f"a text file that begins with {head[:30].decode('ascii')!r}"
    return f"unknown content that begins with {head[:8]!r}"
