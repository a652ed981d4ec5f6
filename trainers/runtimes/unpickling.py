"""Pickles read without running what they say: torch's weights_only, an allowlist, and nothing but inert stand-ins.

A pickle names classes and functions and calls them. Here no named thing is called: while the file is read each
module class is a stand-in that cannot be constructed, only filled, and turns into the real class afterwards. So a
class whose constructor evaluates its arguments (Ultralytics' models do) is no way in.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import sys
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trainers.errors import TrainersError
from trainers.runtimes.formats import ModelFile

if TYPE_CHECKING:
    import torch

_MALFORMED = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    OSError,
)  # what torch's reader raises for bytes that are no checkpoint


@dataclass(frozen=True)
class PickleFamily:
    """Which names a family's pickles may use.

    modules: prefixes of imported packages whose torch.nn.Module classes may come to life. renamed: names of old
    versions. inert: prefixes of names that are read past: their objects become empty and do nothing.
    """

    name: str
    modules: tuple[str, ...] = ("torch.nn.modules.",)
    renamed: Mapping[str, str] = field(default_factory=dict)
    inert: tuple[str, ...] = ()


class Inert:
    """Stands for an object that nobody needs. Takes every argument and state, and does nothing."""

    def __init__(self, *arguments: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def load_pickle(model: ModelFile, family: PickleFamily, trust: bool) -> Any:
    """What the pickle holds, its tensors on the CPU.

    With `trust` it is unpickled as it wants to be, and may run any code. Raises TrainersError where it names
    something that its family does not need, saying what, and where it is damaged.
    """
    import torch

    try:
        content = model.path.read_bytes()  # once: what was checked is what is loaded
        if trust:
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=False)
        wanted = _names_in(content)
        stand_ins = _StandIns(family, wanted)
        with torch.serialization.safe_globals(stand_ins.allowed):
            refused = sorted(wanted - stand_ins.names - _allowed_by_torch(wanted))
            if refused:
                raise TrainersError(_refusal(model, family, refused))
            loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except _MALFORMED as error:
        raise TrainersError(
            f"{model.path}: cannot be read as a PyTorch checkpoint of {family.name}: {_reason(error)}; "
            f"it is damaged, or made to run code (--trust lets it, if you know who made it)"
        ) from error
    stand_ins.revive()
    return loaded


class _StandIns:
    """The stand-ins for the names that one file uses, and their instances."""

    def __init__(self, family: PickleFamily, wanted: set[str]) -> None:
        self._instances: list[Any] = []
        self._real: dict[type, type[torch.nn.Module]] = {}
        self.allowed: list[Any] = []
        for name in sorted(wanted):
            if name.startswith(family.inert):
                self.allowed.append((type("Inert", (Inert,), {}), name))
            elif real := _module_class(family.renamed.get(name, name), family.modules):
                blank = self._blank(name)
                self._real[blank] = real
                self.allowed.append((blank, name))
        self.names = {name for _, name in self.allowed}

    def _blank(self, name: str) -> type:
        instances = self._instances

        def create(cls: type, *arguments: object) -> object:
            if arguments:
                raise pickle.UnpicklingError(f"wants to construct {name} with arguments")
            instances.append(object.__new__(cls))
            return instances[-1]

        return type(name.rpartition(".")[2], (), {"__new__": create})

    def revive(self) -> None:
        """Give every stand-in its real class, then its state once more: classes complete what old versions lack."""
        for instance in self._instances:
            instance.__class__ = self._real[type(instance)]
        for instance in self._instances:
            instance.__setstate__(dict(vars(instance)))


def _module_class(name: str, prefixes: tuple[str, ...]) -> type[torch.nn.Module] | None:
    """The class of this name if it is a network module of an allowed package; nothing is imported for it."""
    import torch

    package, _, attribute = name.rpartition(".")
    found = getattr(sys.modules.get(package), attribute, None) if name.startswith(prefixes) else None
    if isinstance(found, type) and issubclass(found, torch.nn.Module) and found.__module__ == package:
        return found
    return None


def _names_in(content: bytes) -> set[str]:
    """Every global that the pickles of a checkpoint name, as today's Python calls it."""
    if content.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            pickles = [archive.read(name) for name in archive.namelist() if name.endswith("data.pkl")]
        return {name for one in pickles for name in _globals(io.BytesIO(one))}
    stream, names = io.BytesIO(content), set()
    for _ in range(5):  # torch's format before 1.6: magic number, protocol, system, object, keys of the storages
        names |= _globals(stream)
    return names


def _globals(stream: io.BytesIO) -> set[str]:
    names: set[str] = set()
    strings: list[str] = []
    for operation, argument, _ in pickletools.genops(stream):
        if operation.name in ("GLOBAL", "INST"):
            module, _, name = str(argument).partition(" ")
            module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
            names.add(f"{module}.{name}")
        elif operation.name == "STACK_GLOBAL":
            names.add(".".join(strings[-2:]))
        elif isinstance(argument, str):
            strings.append(argument)
    return names


def _allowed_by_torch(names: set[str]) -> set[str]:
    """Those of `names` that weights_only knows by itself: tensors, storages, OrderedDict."""
    from torch._weights_only_unpickler import _get_allowed_globals

    return names & set(_get_allowed_globals())


def _reason(error: Exception) -> str:
    """What torch's reader stumbled over, without its advice to load the file unsafely."""
    before, found, after = str(error).partition("WeightsUnpickler error:")
    lines = [line.strip() for line in (after if found else before).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__


def _refusal(model: ModelFile, family: PickleFamily, refused: list[str]) -> str:
    listed = ", ".join(refused[:8]) + (f" and {len(refused) - 8} more" if len(refused) > 8 else "")
    return (
        f"{model.path}: refused: this pickle wants to run {listed}, which a file of {family.name} does not need; "
        f"if you know who made it use --trust, or ask for an ONNX or TorchScript export"
    )
