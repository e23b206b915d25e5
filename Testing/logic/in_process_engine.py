"""An engine that computes in the same process, for tests: a step per poll, and it can be killed.

What computes is given: the core's own `Session`, or a rule that is quick.
"""

import itertools

import numpy as np

from segvol_core.errors import SegVolError
from segvol_core.inference import Stage
from segvol_core.islands import largest_island
from segvol_core.prompts import place
from segvol_core.session import Session
from SegVolLogic.engine import EngineStage, EngineState, EngineStatus, EngineUpdate
from SegVolLogic.voxel_change import ExtentMask

_STAGES = {
    Stage.COARSE: EngineStage.COARSE,
    Stage.PROGRESS: EngineStage.PROGRESS,
    Stage.FINAL: EngineStage.FINAL,
    Stage.NAMED: EngineStage.NAMED,
}


def by_session(model):
    """Masks of the core's own session with a network."""
    sessions = {}

    def answer(volume, prompts):
        if id(volume) not in sessions:
            sessions.clear()
            sessions[id(volume)] = (Session(model, volume), volume)
        session, _ = sessions[id(volume)]
        for update in session.segment_many([prompts], [] if prompts.text else [0]):
            said = update.message or ""
            if update.stage is Stage.NAMED:
                said = tuple((each.organ.name, each.probability) for each in update.names)
            yield _STAGES[update.stage], update.fraction, update.mask, said

    return answer


def rule_mask(volume, prompts):
    """Voxels near positive points and in the box, without those near negative points.

    A name adds the voxels whose value fits it. In no way like a network, but every prompt counts.
    """
    canonical = volume.canonical()
    voxels = place(prompts, canonical)
    index = np.stack(np.indices(canonical.shape_zyx), axis=-1)
    mask = np.zeros(canonical.shape_zyx, bool)
    if voxels.box_zyx is not None:
        low, high = voxels.box_zyx[:3], voxels.box_zyx[3:]
        mask |= ((index >= low) & (index <= high)).all(axis=-1)
    if voxels.text is not None:
        mask |= canonical.voxels > 1000 - 10 * len(voxels.text)
    for value in (1, 0):
        for point in voxels.points_zyx[voxels.labels == value]:
            mask[np.abs(index - point).sum(axis=-1) <= 1 + value] = bool(value)
    return canonical.restore(mask)


def by_rule(volume, prompts):
    mask = rule_mask(volume, prompts)
    coarse = np.zeros_like(mask)
    coarse[::2] = True
    yield EngineStage.COARSE, 0.1, coarse, ""
    yield EngineStage.PROGRESS, 0.5, None, ""
    yield EngineStage.FINAL, 1.0, mask, ""


class InProcessEngine:
    """See `SegVolLogic.engine.Engine`.

    One update per poll, so that tests can act between them.
    """

    def __init__(self, answer=by_rule):
        self.answer = answer
        self.status = EngineStatus(EngineState.OFF)
        self.volumes = []
        self._volume = None
        self._wanted = {}
        self._running = {}
        self._naming = {}
        self._tickets = itertools.count(1)
        self._upload = []

    def start(self):
        self.status = EngineStatus(EngineState.READY)
        self._running.clear()
        self.use_volume_again()

    def stop(self):
        self.status = EngineStatus(EngineState.OFF)
        self._wanted.clear()
        self._running.clear()

    def kill(self, message="The inference process ended unexpectedly."):
        """As when the process dies: what was asked for is not answered, and not forgotten."""
        self.status = EngineStatus(EngineState.FAILED, message)
        self._running.clear()

    def use_volume(self, volume):
        self._volume = volume
        self._wanted.clear()
        self._running.clear()
        self.use_volume_again()

    def use_volume_again(self):
        self._upload = []
        if self._volume is not None:
            self.volumes.append(self._volume)
            for fraction in (0.5, 1.0):
                self._upload.append(EngineUpdate(EngineStage.UPLOAD, 0, "", fraction))

    def request(self, wanted):
        ticket = next(self._tickets)
        for segment_id, wish in wanted.items():
            self._running.pop(segment_id, None)
            self._naming.pop(segment_id, None)
            self._wanted[segment_id] = (ticket, wish)
        return ticket

    def cancel(self, segment_id):
        self._wanted.pop(segment_id, None)
        self._running.pop(segment_id, None)

    def has_news(self):
        return True

    def poll(self):
        if self.status.state is not EngineState.READY:
            return []
        if self._upload:
            return [self._upload.pop(0)]
        for segment_id, (ticket, wish) in list(self._wanted.items()):
            return [self._next_update(segment_id, ticket, wish)]
        return self._next_names()

    def _next_update(self, segment_id, ticket, wish):
        try:
            if segment_id not in self._running:
                self._running[segment_id] = self.answer(self._volume, wish.prompts)
            stage, fraction, mask, message = next(self._running[segment_id])
        except SegVolError as error:
            self.cancel(segment_id)
            return EngineUpdate(EngineStage.FAILED, ticket, segment_id, 0.0, error=error)
        if stage is EngineStage.FINAL:
            self._naming[segment_id] = (ticket, self._running[segment_id])
            self.cancel(segment_id)
            mask = largest_island(np.asarray(mask)) if wish.keep_largest else mask
        cropped = None if mask is None else ExtentMask.of(np.asarray(mask))
        return EngineUpdate(stage, ticket, segment_id, fraction, cropped, message)

    def _next_names(self):
        for segment_id, (ticket, answers) in list(self._naming.items()):
            for stage, fraction, _, said in answers:
                if stage is EngineStage.NAMED:
                    update = EngineUpdate(stage, ticket, segment_id, fraction, names=said)
                    return [update]
            del self._naming[segment_id]
        return []
