"""What correcting a skeleton takes, and what drawing it from nothing would have taken: an estimate, nobody is timed.

Seconds are those of the keystroke-level model (Card, Moran and Newell, CACM 23(7), 1980, figure 1), which is of people
who know what they do; actions are those of CVAT's page. Both sides leave out what they share: opening a frame, zoom.
"""

from __future__ import annotations

from dataclasses import dataclass

from cvat_export.labels import Visibility

POINT_SECONDS = 1.10  # the mouse to a place on the screen: P
PRESS_SECONDS = 0.20  # a key or button, a fair typist's: K
THINK_SECONDS = 1.35  # before an action that is not the end of one: M
GLANCE_SECONDS = 0.30  # the eye rests 0.2 to 0.35 s on a place (Rayner and Castelhano, Scholarpedia 2(10):3649, 2007)


@dataclass(frozen=True)
class Effort:
    """clicks: presses of a mouse button or a key."""

    seconds: float = 0.0
    clicks: int = 0

    def __add__(self, other: Effort) -> Effort:
        return Effort(self.seconds + other.seconds, self.clicks + other.clicks)

    def __sub__(self, other: Effort) -> Effort:
        return Effort(self.seconds - other.seconds, self.clicks - other.clicks)


@dataclass(frozen=True)
class Costs:
    """Seconds an action takes.

    start: begin a skeleton: key N, then two corners of its box, after which every joint lies at its place in the
    template. drag: one joint to its place. toggle: one joint occluded or outside: point, and key Q or O. delete: a
    skeleton: point, and key Del. look: at one proposed joint; an assumption, as is that everybody looks at each.
    """

    start: float = THINK_SECONDS + PRESS_SECONDS + 2 * (POINT_SECONDS + PRESS_SECONDS)
    drag: float = THINK_SECONDS + 2 * POINT_SECONDS + PRESS_SECONDS
    toggle: float = THINK_SECONDS + POINT_SECONDS + PRESS_SECONDS
    delete: float = THINK_SECONDS + POINT_SECONDS + PRESS_SECONDS
    look: float = GLANCE_SECONDS

    def begin(self) -> Effort:
        """A skeleton of the template's shape, none of its joints in place."""
        return Effort(self.start, 3)

    def draw_joint(self, visibility: int) -> Effort:
        """A joint of a new skeleton; one that is not labelled has to be taken away."""
        if visibility == Visibility.NOT_LABELLED:
            return self._toggle()
        return self._drag() + (self._toggle() if visibility == Visibility.OCCLUDED else Effort())

    def correct_joint(self, before: int, after: int, dragged: bool) -> Effort:
        """A joint of a proposal that was kept. dragged: whether it was moved or swapped.

        What the model did not label lies hidden in CVAT: it is shown, and then as any joint of a new skeleton.
        """
        if before == Visibility.NOT_LABELLED:
            return Effort() if after == Visibility.NOT_LABELLED else self._toggle() + self.draw_joint(after)
        actions = [self._drag()] * dragged + [self._toggle()] * (before != after)
        return sum(actions, Effort(self.look))

    def remove(self) -> Effort:
        """A proposal of nobody: one look and a key."""
        return Effort(self.look + self.delete, 1)

    def _drag(self) -> Effort:
        return Effort(self.drag, 1)

    def _toggle(self) -> Effort:
        return Effort(self.toggle, 1)
