"""Values read from files that people write: unknown keys, wrong types and infinite numbers are refused, clearly."""

from __future__ import annotations

import difflib
import types
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError


class StrictPart(BaseModel):
    """A frozen group of keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def describe_problems(error: ValidationError, root: type[BaseModel]) -> str:
    """All that pydantic found, each as: where, got, expected; a wrong key with the nearest right one."""
    return "; ".join(_problem(dict(item), root) for item in error.errors(include_url=False))


def nearest(name: str, known: list[str]) -> str:
    """`; did you mean 'x'?` where one of `known` is near, else nothing."""
    found = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {found[0]!r}?" if found else ""


def _problem(error: dict[str, Any], root: type[BaseModel]) -> str:
    steps, part = _walk(error["loc"], root)
    place = ".".join(steps)
    match error["type"]:
        case "extra_forbidden":
            known = list(part.model_fields) if part else []
            return f"{place}: unknown key, expected {', '.join(known) or 'nothing'}{nearest(steps[-1], known)}"
        case "missing":
            return f"{place}: is missing"
        case "union_tag_not_found" | "union_tag_invalid":
            got = error["ctx"].get("tag", "no kind")
            return f"{place}.kind: got {got}, expected {_tags(part, steps[-1])}"
        case "value_error":
            return ".".join([*steps, str(error["ctx"]["error"])])
    expected = error["msg"].removeprefix("Input should be ")
    return f"{place}: got {error['input']!r}, expected {expected[:1].lower()}{expected[1:]}"


def _walk(loc: tuple[int | str, ...], root: type[BaseModel]) -> tuple[list[str], type[BaseModel] | None]:
    """The keys of a place as they stand in the file, and the part that should hold the last one.

    pydantic names the chosen kind of a union as a step of its own, which stands in no file.
    """
    steps: list[str] = []
    parts: list[type[BaseModel]] = [root]
    for position, step in enumerate(map(str, loc)):
        chosen = [part for part in parts if step in _kinds(part)]
        if chosen and position and len(parts) > 1:
            parts = chosen
            continue
        steps.append(step)
        if position < len(loc) - 1 and not step.isdigit():
            fields = [part.model_fields[step] for part in parts if step in part.model_fields]
            parts = [inner for info in fields for inner in _parts_of(info.annotation)]
    return steps, parts[0] if parts else None


def _parts_of(annotation: Any) -> list[type[BaseModel]]:
    """The groups of keys that a type names, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Annotated, Union, types.UnionType, tuple, list, dict):
        return [part for inner in get_args(annotation) for part in _parts_of(inner)]
    return []


def _kinds(part: type[BaseModel]) -> tuple[str, ...]:
    kind = part.model_fields.get("kind")
    return get_args(kind.annotation) if kind else ()


def _tags(part: type[BaseModel] | None, key: str) -> str:
    fields = part.model_fields.get(key) if part else None
    kinds = [kind for inner in _parts_of(fields.annotation) for kind in _kinds(inner)] if fields else []
    return " or ".join(filter(None, (", ".join(kinds[:-1]), *kinds[-1:])))
