"""torch.export's archives, checked before torch reads them: they hold pickles, names to look up and text to evaluate.

torch.export.load (2.15) unpickles weights, constants and sample inputs without restriction, parses expressions with
sympy, which evaluates them, looks operators up by dotted name from `torch` on (`torch.os.system` is one), and loads
compiled libraries. What an ordinary network needs of all this is narrow; more than that is refused.
"""

from __future__ import annotations

import ast
import json
import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from trainers.errors import TrainersError
from trainers.runtimes.formats import ModelFile

if TYPE_CHECKING:
    from torch.export import ExportedProgram

_OPERATORS = re.compile(
    r"torch\.ops\.(aten|prims|torchvision|quantized|quantized_decomposed)\.(?!from_file\b)\w+\.\w+"
    r"|torch\.ops\.higher_order\.(wrap_with_set_grad_enabled|wrap_with_autocast|cond)"
    r"|torch\.(sym_\w+|_sym_\w+)"
    r"|_operator\.(add|sub|mul|truediv|floordiv|mod|pow|neg|pos|eq|ne|lt|le|gt|ge|and_|or_|not_|getitem)"
    r"|math\.\w+"
)
_CALLS = {  # what expressions over shapes are built from, in sympy's notation and in guards
    *("Symbol", "Integer", "Float", "Rational", "Add", "Mul", "Pow", "Mod", "Max", "Min", "Abs", "Piecewise"),
    *("Eq", "Ne", "Lt", "Le", "Gt", "Ge", "And", "Or", "Not", "Equality", "Unequality", "ExprCondPair"),
    *("StrictLessThan", "LessThan", "StrictGreaterThan", "GreaterThan", "FloorDiv", "ModularIndexing", "Where"),
    *("PythonMod", "CeilDiv", "CeilToInt", "FloorToInt", "FloatPow", "PowByNatural", "IntTrueDiv", "ToFloat"),
    *("FloatTrueDiv", "RoundToInt", "RoundDecimal", "TruncToInt", "TruncToFloat", "Identity", "Infinity"),
    *("OpaqueUnaryFn_sqrt", "size", "stride", "dim", "storage_offset"),
}
_NODES = (
    ast.Expression,
    ast.BoolOp,
    ast.boolop,
    ast.UnaryOp,
    ast.unaryop,
    ast.BinOp,
    ast.operator,
    ast.Compare,
    ast.cmpop,
    ast.Call,
    ast.keyword,
    ast.Constant,
    ast.Name,
    ast.Load,
    ast.Attribute,
    ast.Subscript,
    ast.Tuple,
)
_IDENTIFIER = re.compile(r"(?!.*__)[A-Za-z_]\w*")


def load_pt2(model: ModelFile, trust: bool) -> ExportedProgram:
    """The program in the archive. Raises TrainersError for one that wants to run code, unless trusted."""
    import torch

    if not trust:
        wanted = sorted(_wanted(model))
        if wanted:
            raise TrainersError(
                f"{model.path}: refused: this archive wants to run {'; '.join(wanted[:5])}, which no network needs; "
                f"if you know who made it use --trust, or ask for an ONNX or TorchScript export"
            )
    try:
        with _weights_only(not trust):
            return torch.export.load(model.path)
    except Exception as error:  # torch's deserialiser raises whatever it stumbles over
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise TrainersError(
            f"{model.path}: torch {torch.__version__} cannot load this pt2 archive: {reason[:300]}; "
            f"export it again with this version of torch, or as ONNX"
        ) from error


def _wanted(model: ModelFile) -> Iterator[str]:
    """What in the archive asks for more than tensors and torch's own operators."""
    import torch

    try:
        reader = torch._C.PyTorchFileReader(str(model.path))  # the very reader that torch.export uses
        names = list(reader.get_all_records())
        texts = {name: reader.get_record(name) for name in names if name.endswith(".json") and "extra/" not in name}
        documents = {name: json.loads(text) for name, text in texts.items()}
    except (RuntimeError, ValueError, RecursionError) as error:
        raise TrainersError(f"{model.path}: damaged: {str(error).splitlines()[0]}; export it again") from error
    with zipfile.ZipFile(model.path) as archive:  # torch.export falls back to this reader for its first layout
        without_root = [name for name in archive.namelist() if "/" not in name]
    if "archive_format" not in names or without_root:
        raise TrainersError(f"{model.path}: written by torch.export before 2.8; export it again with a newer torch")
    for name in names:
        if name.startswith("data/aotinductor/"):
            yield f"the compiled library {name}"
        elif re.search(r"/(custom|opaque)_obj_", name):
            yield f"the pickled object {name}"
    for document in documents.values():
        yield from _wanted_in(document)


def _wanted_in(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _wanted_in(item)
    if not isinstance(value, dict):
        return
    for key, item in value.items():
        if key == "target" and isinstance(item, str) and re.match(r"torch|math|_operator|#", item):
            if not _OPERATORS.fullmatch(item):
                yield item
        elif key == "path_name" and re.match(r"(custom|opaque)_obj_", str(item)):
            yield f"the pickled object {item}"
        elif key == "expr_str" and not _is_arithmetic(str(item)):
            yield f"the expression {item!r:.80}"
        elif key == "guards_code":
            yield from (f"the guard {guard!r:.80}" for guard in item if not _is_arithmetic(str(guard)))
        elif key in ("in_spec", "out_spec") and "default_factory" in str(item):
            yield f"a factory named in {key}"
        yield from _wanted_in(item)


def _is_arithmetic(text: str) -> bool:
    """Whether evaluating `text` can do no more than compute with shapes."""
    try:
        nodes = list(ast.walk(ast.parse(text, mode="eval")))
    except (SyntaxError, ValueError, RecursionError):
        return False
    for node in nodes:
        if not isinstance(node, _NODES):
            return False
        if isinstance(node, ast.Call) and _called(node.func) not in _CALLS:
            return False
        if isinstance(node, ast.Name) and not _IDENTIFIER.fullmatch(node.id):
            return False
        if isinstance(node, ast.Attribute) and node.attr not in _CALLS:
            return False
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and not _IDENTIFIER.fullmatch(node.value):
            return False
    return True


def _called(function: ast.expr) -> str:
    return str(getattr(function, "id", getattr(function, "attr", "")))


@contextmanager
def _weights_only(force: bool) -> Iterator[None]:
    """torch.load in this block unpickles nothing but tensors, whatever its caller asks for."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    if force:
        os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before
