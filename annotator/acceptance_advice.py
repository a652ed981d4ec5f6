"""What follows from acceptance, in sentences: said only where a 95 % interval supports it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from annotator.acceptance import ANY_RULE, Acceptance, Tally
from annotator.acceptance_tables import format_share
from annotator.proposal_outcomes import NOBODY, Outcome
from cvat_export.changes import Fate
from trainers.metrics.bootstrap import Interval

# Above these, with the lower end of the interval, something is worth a person's while.
OFTEN_MOVED = 0.4
OFTEN_SWAPPED = 0.05  # a swap is never a matter of taste
OFTEN_OCCLUSION = 0.2
OFTEN_HIDDEN = 0.2  # labelled by the model, not by the person
OFTEN_DELETED = 0.15  # of the proposals
OFTEN_ADDED = 0.15  # of the subjects in the truth

_SHOWN = 5  # joints in a sentence


def advise(acceptance: Acceptance) -> tuple[str, ...]:
    """Sentences, the most telling kinds first; none where nothing is sure."""
    total = acceptance.total
    return (
        *_of_rounds(acceptance),
        *_of_saving(total),
        *_of_joints(acceptance.parts["joint"]),
        *_of_subjects(total),
        *_of_suspects(acceptance),
        *_of_annotators(acceptance.parts["annotator"]),
    )


def _of_rounds(acceptance: Acceptance) -> Iterator[str]:
    if len(acceptance.rounds) < 2:
        return
    before, after = (tally.outcome_shares[Outcome.LEFT_ALONE] for tally in acceptance.trend[-2:])
    old, new = acceptance.rounds[-2:]
    went = f"joints left alone went from {_said(before)} in {old} to {_said(after)} in {new}"
    if after.low > before.high:
        yield f"proposals became better: {went}"
    elif after.high < before.low:
        yield f"proposals became worse: {went}: harder videos? Else compare the models: annotator evaluate --against"


def _of_saving(total: Tally) -> Iterator[str]:
    if total.saved.high < 0:
        yield (
            f"correcting takes longer than drawing would, by {round(-100 * total.saved.value)} % as estimated: push "
            "without proposals, or only those of high scores, until the model is better"
        )


def _of_joints(parts: Mapping[str, Tally]) -> Iterator[str]:
    """A sentence for all joints of which the same is to be said."""
    often = _often(parts, Outcome.MOVED, OFTEN_MOVED)
    near = {name: part for name, part in often.items() if part.moved_far.high < _share(part, Outcome.MOVED).low / 2}
    far = {name: part for name, part in often.items() if name not in near}
    look = "look at the guide: does it say where the joint is? If it does, the model needs more of it"
    leave = "these are mostly moved by less than two people differ by: let the guide say when to leave a joint"
    for found, outcome, advice in (
        (far, Outcome.MOVED, look),
        (near, Outcome.MOVED, leave),
        (_often(parts, Outcome.SWAPPED, OFTEN_SWAPPED), Outcome.SWAPPED, "does the guide say whose left is left?"),
        (_often(parts, Outcome.OCCLUSION, OFTEN_OCCLUSION), Outcome.OCCLUSION, "does the guide say what is occluded?"),
        (_often(parts, Outcome.DELETED, OFTEN_HIDDEN), Outcome.DELETED, "propose with a higher --min-joint-score"),
    ):
        if found:
            named = [_named(name, part, outcome) for name, part in found.items()]
            more = f"; and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
            yield f"{outcome} often: {'; '.join(named[:_SHOWN])}{more}: {advice}"


def _often(parts: Mapping[str, Tally], outcome: Outcome, least: float) -> dict[str, Tally]:
    """The joints that surely met an outcome in more than a least share, those that met it most first."""
    found = {name: part for name, part in parts.items() if _share(part, outcome).low > least}
    return dict(sorted(found.items(), key=lambda item: -_share(item[1], outcome).value))


def _named(name: str, part: Tally, outcome: Outcome) -> str:
    """As 'left_wrist in 61 % (52 to 70), by 2.1 sigmas'."""
    far = outcome is Outcome.MOVED and part.moved_sigmas
    return f"{name} in {_said(_share(part, outcome))}{f', by {far.median:.1f} sigmas' if far else ''}"


def _share(part: Tally, outcome: Outcome) -> Interval:
    return part.outcome_shares[outcome]


def _of_subjects(total: Tally) -> Iterator[str]:
    deleted, added = total.fate_shares[Fate.DELETED], total.fate_shares[Fate.ADDED]
    many, few = deleted.low > OFTEN_DELETED, added.low > OFTEN_ADDED
    if many and few:
        found = f"{_said(deleted, 'proposals')} were deleted, {_said(added, 'subjects')} had to be added"
        yield f"{found}: no --min-score mends both; train a detector on these labels"
    elif many:
        yield f"{_said(deleted, 'proposals')} were deleted: propose with a higher --min-score, or a better detector"
    elif few:
        yield f"{_said(added, 'subjects')} had to be added: propose with a lower --min-score, or a better detector"


def _of_suspects(acceptance: Acceptance) -> Iterator[str]:
    suspected, others = acceptance.suspects[0].changed, acceptance.not_suspected
    assert acceptance.suspects[0].rule == ANY_RULE
    found = f"suspects were changed in {_said(suspected)}, other proposals in {_said(others)}"
    if suspected.low > others.high:
        yield f"{found}: push with --flag-suspects, and look at these first"
    elif suspected.high < others.low:
        yield f"{found}: pay them no attention here"


def _of_annotators(parts: Mapping[str, Tally]) -> Iterator[str]:
    """Of two who differ surely, the one who leaves most alone and the one who leaves least."""
    shares = {name: tally.outcome_shares[Outcome.LEFT_ALONE] for name, tally in parts.items() if name != NOBODY}
    known = {name: share for name, share in shares.items() if not math.isnan(share.value)}
    if not known:
        return
    most, least = (choose(known, key=lambda name: known[name].value) for choose in (max, min))
    if known[most].low > known[least].high:
        left = f"{most} leaves {_said(known[most], 'joints')} alone, {least} {_said(known[least])}"
        yield f"{left}: unless their videos differ, let both label some of the same frames and compare"


def _said(share: Interval, of: str = "") -> str:
    """A share as '61 % of something (52 to 70)'."""
    value, bracket, ends = format_share(share).partition(" (")
    return f"{value}{f' of {of}' if of else ''}{bracket}{ends}"
