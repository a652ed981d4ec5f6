"""What came of a step, in a few words for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Figures = Mapping[str, Any]


def pool(figures: Figures) -> str:
    parts = [f"{figures[kind]} {kind}" for kind in ("videos", "images") if figures[kind]]
    skipped = f"; {figures['skipped']} images could not be read" if figures["skipped"] else ""
    return f"{figures['frames']} frames of {' and '.join(parts)}{skipped}"


def evaluation(figures: Figures) -> str:
    return f"{figures['frames']} of {figures['of']} frames drawn by lot, kept for measuring"


def choose(figures: Figures) -> str:
    near = f"; {figures['near']} are too near to those kept for measuring" if figures["near"] else ""
    return f"{figures['frames']} of {figures['of']} frames, {figures['strategy']}{near}"


def propose(figures: Figures) -> str:
    proposed = f"{figures['subjects']} proposals in {figures['images']} frames" if figures["model"] else "no model yet"
    return f"{proposed}; {figures['without_proposals']} frames for measuring without any"


def push(figures: Figures) -> str:
    return f"{figures['images']} images in {figures['project']!r}"


def correct(figures: Figures) -> str:
    return f"{figures['finished']} of {figures['jobs']} jobs finished"


def pull(figures: Figures) -> str:
    fates = ", ".join(f"{count} {fate}" for fate, count in figures["fates"].items())
    unfinished = f"; {figures['not_finished']} images are not finished" if figures["not_finished"] else ""
    return f"{figures['images']} images: {fates or 'nobody in them'}{unfinished}"


def sort(figures: Figures) -> str:
    lost = f"; {figures['left_out']} left out" if figures["left_out"] else ""
    return (
        f"{figures['training_subjects']} subjects in {figures['training_images']} images to learn from, "
        f"{figures['evaluation_subjects']} in {figures['evaluation_images']} to measure by{lost}"
    )


def check(figures: Figures) -> str:
    return f"{figures['errors']} errors, {figures['warnings']} warnings"


def acceptance(figures: Figures) -> str:
    if figures["saved"] is None:
        return "nothing was proposed"
    return f"of {figures['proposals']} proposals; {figures['saved']} of the time of drawing saved"


def train(figures: Figures) -> str:
    return f"epoch {figures['epoch']}; validation PCK@0.1 {figures['pck']:.3f}"


def export(figures: Figures) -> str:
    return str(figures["model"])


def gate(figures: Figures) -> str:
    return f"{'accepted' if figures['accepted'] else 'refused'}: {figures['reason']}"


def detector(figures: Figures) -> str:
    return gate(figures) if figures["trained"] else "none is trained"


def curve(figures: Figures) -> str:
    return str(figures["advice"])


def imported(figures: Figures) -> str:
    missing = f"; {figures['images_missing']} images were not found" if figures["images_missing"] else ""
    return f"{figures['subjects']} subjects in {figures['images']} images of {figures['file']}{missing}"


WORDS: dict[str, Callable[[Figures], str]] = {
    "import": imported,
    **{
        function.__name__: function
        for function in (
            *(pool, evaluation, choose, propose, push, correct, pull),
            *(sort, check, acceptance, train, export, gate, detector, curve),
        )
    },
}
