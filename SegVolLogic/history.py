"""What was done, step by step, so that it can be undone and done again.

A step holds what changed in each segment: its prompts, whether it exists, and the voxels gained and
lost as packed bits. The scene is not touched here; :mod:`SegVolLogic.history_steps` does that.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from SegVolLogic.segments import SegmentRecord
from SegVolLogic.voxel_change import VoxelChange

DEFAULT_BUDGET_BYTES = 256 * 1024**2
"""Room for over a hundred results of the size of a liver in a CT of 512 x 512 x 300."""


@dataclass(frozen=True)
class SegmentChange:
    """One segment before and after a step; None where it does not exist."""

    before: SegmentRecord | None
    after: SegmentRecord | None

    @property
    def segment_id(self) -> str:
        """Which segment."""
        record = self.after or self.before
        if record is None:
            raise ValueError("a change is of a segment that exists before or after")
        return record.segment_id


@dataclass(frozen=True, eq=False)
class Step:
    """One thing that the user did.

    Attributes
    ----------
    label
        For a menu or a tool tip: "Undo add point".
    current_before, current_after
        The segment that prompts went to; None for none.
    segments
        Segments whose prompts, name or existence changed.
    voxels
        Changes of voxels, in the order in which they were made.
    answered
        Segments whose result is among them.
    """

    label: str
    current_before: str | None
    current_after: str | None
    segments: tuple[SegmentChange, ...] = ()
    voxels: tuple[VoxelChange, ...] = ()
    answered: frozenset[str] = frozenset()

    @property
    def nbytes(self) -> int:
        """Memory that the step takes, apart from a little."""
        return sum(change.nbytes for change in self.voxels)

    @property
    def segment_ids(self) -> set[str]:
        """Segments that the step is about."""
        changed = {change.segment_id for change in self.segments}
        return changed | {change.segment_id for change in self.voxels}

    def without(self, segment_id: str) -> Step:
        """Return the step with nothing in it of a segment that is gone."""
        return replace(
            self,
            segments=tuple(c for c in self.segments if c.segment_id != segment_id),
            voxels=tuple(c for c in self.voxels if c.segment_id != segment_id),
        )


class History:
    """Steps that can be undone, and undone ones that can be done again.

    Parameters
    ----------
    budget_bytes
        The oldest steps are forgotten when the voxels of all take more.
    """

    def __init__(self, budget_bytes: int = DEFAULT_BUDGET_BYTES) -> None:
        self._budget = budget_bytes
        self._done: deque[Step] = deque()
        self._undone: list[Step] = []

    @property
    def undo_label(self) -> str | None:
        """What an undo would take back; None if there is nothing."""
        return self._done[-1].label if self._done else None

    @property
    def redo_label(self) -> str | None:
        """What a redo would do again; None if there is nothing."""
        return self._undone[-1].label if self._undone else None

    @property
    def nbytes(self) -> int:
        """Memory that the steps take."""
        return sum(step.nbytes for step in (*self._done, *self._undone))

    def add(self, step: Step) -> None:
        """Remember a new step; what was undone before it cannot be done again."""
        self._undone.clear()
        self._done.append(step)
        self._forget_oldest()

    def attach(self, voxels: tuple[VoxelChange, ...], segment_id: str) -> bool:
        """Add a result to the step that asked for it: the last one about the segment.

        Returns
        -------
        Whether that was possible. It is not if that step has its result already, or if a later step
        wrote into the same segments; the result is a step of its own then, unless it is nothing.
        """
        written = {change.segment_id for change in voxels}
        for index in reversed(range(len(self._done))):
            step = self._done[index]
            if segment_id in {change.segment_id for change in step.segments}:
                if segment_id in step.answered:
                    break
                answered = step.answered | {segment_id}
                self._done[index] = replace(step, voxels=step.voxels + voxels, answered=answered)
                self._forget_oldest()
                return True
            if not written.isdisjoint(change.segment_id for change in step.voxels):
                break
        return not voxels

    def undo(self, current: str | None = None) -> Step | None:
        """Return the step to take back now; None if there is none.

        Parameters
        ----------
        current
            The segment that prompts go to now: doing the step again leads back to it.
        """
        if not self._done:
            return None
        step = replace(self._done.pop(), current_after=current)
        self._undone.append(step)
        return step

    def redo(self, current: str | None = None) -> Step | None:
        """Return the step to do again now; None if there is none; `current` as in :meth:`undo`."""
        if not self._undone:
            return None
        step = replace(self._undone.pop(), current_before=current)
        self._done.append(step)
        return step

    def forget_segment(self, segment_id: str) -> None:
        """Drop what there is of a segment that was removed by someone else."""
        self._done = deque(
            kept for step in self._done if (kept := _still_useful(step, segment_id)) is not None
        )
        self._undone = [
            kept for step in self._undone if (kept := _still_useful(step, segment_id)) is not None
        ]

    def clear(self) -> None:
        """Forget everything."""
        self._done.clear()
        self._undone.clear()

    def _forget_oldest(self) -> None:
        while len(self._done) > 1 and self.nbytes > self._budget:
            self._done.popleft()


def _still_useful(step: Step, segment_id: str) -> Step | None:
    if segment_id not in step.segment_ids:
        return step
    rest = step.without(segment_id)
    return rest if rest.segment_ids else None
