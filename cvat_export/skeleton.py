"""Skeletons as data: joint names, edges, left/right pairs, OKS sigmas, colours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from cvat_export.errors import CvatExportError

SIDE_COLOURS = {"left": "#288cff", "right": "#ff8c1e", "centre": "#78e678"}
DEFAULT_SIGMA = 0.08  # for joints that nobody measured: between COCO's shoulder (0.079) and knee (0.087)


@dataclass(frozen=True)
class Skeleton:
    """The joints of a kind of subject, in the order of their arrays.

    edges and flip_pairs hold joint indices counted from 0. sigmas are OKS fall-offs, one a joint (COCO keypoints
    evaluation). aliases: a joint's name -> other names it answers to. colours: a joint's name -> "#rrggbb".
    """

    name: str
    joints: tuple[str, ...]
    edges: tuple[tuple[int, int], ...] = ()
    flip_pairs: tuple[tuple[int, int], ...] = ()
    sigmas: tuple[float, ...] = ()
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    colours: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.sigmas:
            object.__setattr__(self, "sigmas", (DEFAULT_SIGMA,) * len(self.joints))
        self._check()

    def _check(self) -> None:
        where = f"skeleton {self.name!r}"
        if not self.joints:
            raise CvatExportError(f"{where}: got no joints, expected at least one name under 'joints'")
        self._check_names(where)
        if len(self.sigmas) != len(self.joints):
            raise CvatExportError(f"{where}: got {len(self.sigmas)} sigmas, expected {len(self.joints)}, one a joint")
        if any(not 0 < sigma < float("inf") for sigma in self.sigmas):
            raise CvatExportError(f"{where}: sigmas must be above 0, got {min(self.sigmas)}")
        for kind, pairs in (("edge", self.edges), ("flip pair", self.flip_pairs)):
            for pair in pairs:
                if pair[0] == pair[1] or not all(0 <= joint < len(self.joints) for joint in pair):
                    raise CvatExportError(
                        f"{where}: {kind} {pair} must hold two different joints, 0..{len(self.joints) - 1}"
                    )
        flipped = [joint for pair in self.flip_pairs for joint in pair]
        if len(flipped) != len(set(flipped)):
            raise CvatExportError(f"{where}: a joint stands in two flip pairs")

    def _check_names(self, where: str) -> None:
        """Each name leads to one joint: no two joints, nor a joint and another's alias, share one."""
        owners: dict[str, str] = {}
        for joint in self.joints:
            for name in (joint, *self.aliases.get(joint, ())):
                owner = owners.setdefault(canonical_name(name), joint)
                if owner != joint or (name == joint and self.joints.count(joint) > 1):
                    raise CvatExportError(
                        f"{where}: {name!r} names both {owner!r} and {joint!r} "
                        "(names and aliases are compared without case, spaces, '-' and '_')"
                    )
        for key, values in (("aliases", self.aliases), ("colours", self.colours)):
            if strangers := sorted(set(values) - set(self.joints)):
                raise CvatExportError(f"{where}: {key}: {strangers[0]!r} is not one of its joints")
        for joint, colour in self.colours.items():
            if not re.fullmatch("#[0-9a-fA-F]{6}", colour):
                raise CvatExportError(f"{where}: colours: {joint}: got {colour!r}, expected '#rrggbb'")

    @cached_property
    def _index(self) -> dict[str, int]:
        index = {
            canonical_name(alias): joint
            for joint, name in enumerate(self.joints)
            for alias in self.aliases.get(name, ())
        }
        return index | {canonical_name(name): joint for joint, name in enumerate(self.joints)}

    def find(self, name: str) -> int | None:
        """The index of the joint that answers to `name`, compared without case, spaces, hyphens and underscores."""
        return self._index.get(canonical_name(name))

    def sources_in(self, other: Skeleton) -> tuple[int | None, ...]:
        """For each joint of this skeleton, the index of the same joint in `other`; None where it has none."""
        return tuple(
            next(
                (found for name in (joint, *self.aliases.get(joint, ())) if (found := other.find(name)) is not None),
                None,
            )
            for joint in self.joints
        )

    @cached_property
    def flip_order(self) -> tuple[int, ...]:
        """For each joint, the one whose place it takes in a mirrored image."""
        order = list(range(len(self.joints)))
        for left, right in self.flip_pairs:
            order[left], order[right] = right, left
        return tuple(order)

    @cached_property
    def sides(self) -> tuple[str, ...]:
        """For each joint "left", "right" or "centre": by its flip pair, whose first joint is the left one."""
        sides = ["centre"] * len(self.joints)
        for left, right in self.flip_pairs:
            sides[left], sides[right] = "left", "right"
        return tuple(sides)

    @cached_property
    def joint_colours(self) -> tuple[str, ...]:
        """A colour a joint, "#rrggbb": its own where it has one, else that of its side."""
        return tuple(self.colours.get(j, SIDE_COLOURS[side]) for j, side in zip(self.joints, self.sides, strict=True))

    @cached_property
    def neighbours(self) -> tuple[tuple[int, ...], ...]:
        """For each joint the others that edges join to it, each once."""
        return tuple(
            tuple(dict.fromkeys(other for edge in self.edges if joint in edge for other in edge if other != joint))
            for joint in range(len(self.joints))
        )


def canonical_name(name: str) -> str:
    """A joint's name without case, spaces, hyphens and underscores: `Left Eye` and `left_eye` are one."""
    return re.sub(r"[\s_-]+", "", name).casefold()


def embedded_skeletons() -> tuple[str, ...]:
    """The names that `read_skeleton` knows without a file."""
    names = (file.name for file in files("cvat_export").joinpath("skeletons").iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


def read_skeleton(name_or_path: str | Path) -> Skeleton:
    """The embedded skeleton of this name, or the one described by a YAML file. Raises CvatExportError."""
    text_name = str(name_or_path)
    if text_name in embedded_skeletons():
        text = files("cvat_export").joinpath("skeletons", f"{text_name}.yaml").read_text("utf-8")
        return parse_skeleton(yaml.safe_load(text), where=text_name)
    try:
        content = yaml.safe_load(Path(name_or_path).read_text("utf-8"))
    except FileNotFoundError:
        raise CvatExportError(
            f"skeleton {text_name!r}: no such file, and not one of {', '.join(embedded_skeletons())}"
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CvatExportError(f"skeleton {text_name}: cannot be read as YAML: {error}") from error
    return parse_skeleton(content, where=text_name)


def parse_skeleton(content: Any, where: str) -> Skeleton:
    """A skeleton from its description: names where the value has indices, see docs/skeletons.md.

    `flips` may be left out: joints whose names differ only in left and right are pairs.
    `sigmas` is a list in joint order or a mapping from joint to number.
    """
    if not isinstance(content, Mapping):
        raise CvatExportError(f"{where}: got {type(content).__name__}, expected a mapping with the key 'joints'")
    known = {"name", "joints", "edges", "flips", "sigmas", "aliases", "colours"}
    if unknown := sorted(set(map(str, content)) - known):
        raise CvatExportError(f"{where}: unknown key {unknown[0]!r}, expected {', '.join(sorted(known))}")
    joints = content.get("joints")
    if not isinstance(joints, list) or not all(isinstance(joint, str) for joint in joints):
        raise CvatExportError(f"{where}: 'joints' must be a list of names, got {joints!r}")
    aliases = _by_joint(content.get("aliases") or {}, joints, f"{where}: aliases")
    colours = _by_joint(content.get("colours") or {}, joints, f"{where}: colours")
    return Skeleton(
        name=str(content.get("name") or Path(where).stem),
        joints=tuple(joints),
        edges=_pairs(content.get("edges") or [], joints, f"{where}: edges"),
        flip_pairs=(
            _pairs(content["flips"] or [], joints, f"{where}: flips")
            if "flips" in content
            else guess_flip_pairs(joints)
        ),
        sigmas=_parse_sigmas(content.get("sigmas") or [], joints, f"{where}: sigmas"),
        aliases={joint: _parse_aliases(names, f"{where}: aliases: {joint}") for joint, names in aliases.items()},
        colours={joint: str(colour) for joint, colour in colours.items()},
    )


def describe_skeleton(skeleton: Skeleton) -> dict[str, Any]:
    """The inverse of `parse_skeleton`: plain lists and mappings for YAML or JSON."""
    named = skeleton.joints
    description: dict[str, Any] = {
        "name": skeleton.name,
        "joints": list(named),
        "edges": [[named[a], named[b]] for a, b in skeleton.edges],
        "flips": [[named[a], named[b]] for a, b in skeleton.flip_pairs],
        "sigmas": list(skeleton.sigmas),
    }
    if skeleton.aliases:
        description["aliases"] = {joint: list(names) for joint, names in skeleton.aliases.items()}
    if skeleton.colours:
        description["colours"] = dict(skeleton.colours)
    return description


def guess_flip_pairs(joints: list[str] | tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """Pairs (left, right) of joints whose names differ only in the words left and right (or l and r)."""
    positions = {_words(joint): index for index, joint in enumerate(joints)}
    pairs = []
    for index, joint in enumerate(joints):
        words = _words(joint)
        mirrored = tuple({"left": "right", "l": "r"}.get(word, word) for word in words)
        if mirrored != words and mirrored in positions:
            pairs.append((index, positions[mirrored]))
    return tuple(pairs)


def _words(name: str) -> tuple[str, ...]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|[\s_-]+", " ", name).casefold()
    spaced = re.sub(r"^(left|right)(?=[a-z])", r"\1 ", spaced)
    return tuple(spaced.split())


def _pairs(pairs: Any, joints: list[str], where: str) -> tuple[tuple[int, int], ...]:
    if not isinstance(pairs, list):
        raise CvatExportError(f"{where}: got {pairs!r}, expected a list of pairs of joint names")
    by_name = {canonical_name(joint): index for index, joint in enumerate(joints)}
    found = []
    for pair in pairs:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise CvatExportError(f"{where}: got {pair!r}, expected a pair of joint names")
        ends = [by_name.get(canonical_name(str(end))) for end in pair]
        if ends[0] is None or ends[1] is None:
            raise _stranger(pair[ends.index(None)], joints, where)
        found.append((ends[0], ends[1]))
    return tuple(found)


def _by_joint(values: Any, joints: list[str], where: str) -> dict[str, Any]:
    """The mapping under the joints' own spelling, in joint order."""
    if not isinstance(values, Mapping):
        raise CvatExportError(f"{where}: got {values!r}, expected a mapping from joint names")
    spelling = {canonical_name(joint): joint for joint in joints}
    if strangers := [name for name in values if canonical_name(str(name)) not in spelling]:
        raise _stranger(strangers[0], joints, where)
    named = {spelling[canonical_name(str(name))]: value for name, value in values.items()}
    return {joint: named[joint] for joint in joints if joint in named}


def _parse_sigmas(sigmas: Any, joints: list[str], where: str) -> tuple[float, ...]:
    if isinstance(sigmas, Mapping):
        by_joint = _by_joint(sigmas, joints, where)
        if missing := [joint for joint in joints if joint not in by_joint]:
            raise CvatExportError(f"{where}: no value for {missing[0]!r}")
        sigmas = list(by_joint.values())
    if not isinstance(sigmas, list) or not all(type(sigma) in (int, float) for sigma in sigmas):
        raise CvatExportError(f"{where}: got {sigmas!r}, expected numbers, one a joint")
    return tuple(float(sigma) for sigma in sigmas)


def _parse_aliases(names: Any, where: str) -> tuple[str, ...]:
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise CvatExportError(f"{where}: got {names!r}, expected a name or a list of names")
    return tuple(names)


def _stranger(name: Any, joints: list[str], where: str) -> CvatExportError:
    return CvatExportError(f"{where}: {name!r} is not one of its joints: {', '.join(joints)}")
