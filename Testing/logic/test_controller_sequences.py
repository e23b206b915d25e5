"""Random sequences of actions: afterwards every segment's voxels and prompts are as they should be.

What they should be is kept beside the scene, in plain values: a list of segments before and after
every action, and the stack of those lists that undo and redo walk along.
"""

import copy
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from in_process_engine import InProcessEngine, rule_mask
from scenes import SHAPE_KJI, add_volume, put_under, rotation, slicers_mask, world_of

from SegVolLogic.controller import SegVolController
from SegVolLogic.segment_tags import stored_prompts
from SegVolLogic.segment_writer import Overlap
from SegVolLogic.states import Options
from SegVolLogic.volume_node import volume_of

voxels = st.tuples(st.integers(0, 7), st.integers(0, 6), st.integers(0, 5))
NAMES = ("liver", "spleen", "aorta")


@dataclass
class Expected:
    """A segment as it should be."""

    positive: list = field(default_factory=list)
    negative: list = field(default_factory=list)
    text: str | None = None
    mask: np.ndarray = field(default_factory=lambda: np.zeros(SHAPE_KJI, bool))


class Actions(RuleBasedStateMachine):
    mrml = None
    controller = None

    @initialize(
        overlap=st.sampled_from(list(Overlap)),
        turned=st.booleans(),
        orientation=st.sampled_from(["axial", "oblique", "left-handed"]),
    )
    def open(self, overlap, turned, orientation):
        self.folder = Path(tempfile.mkdtemp())
        self.overlap = overlap
        self.scene = self.mrml.scene
        self.scene.Clear(0)
        self.volumes = [add_volume(self.scene, orientation, seed=seed) for seed in (0, 1)]
        for volume in self.volumes:
            if turned:
                turn = np.eye(4)
                turn[:3, :3] = rotation((0.3, -0.2, 0.5))
                put_under(self.scene, volume, [turn])
        self.volume = self.volumes[0]
        self.engine = InProcessEngine()
        self.controller = SegVolController(
            self.scene, self.engine, options=Options(overlap=overlap)
        )
        self.controller.choose_volume(self.volume)
        self.controller.start_engine()
        self.segments, self.current = {}, None
        self.done, self.undone = [], []
        self.wait()

    def teardown(self):
        if self.controller is not None:
            self.controller.close()
            shutil.rmtree(self.folder)

    # What is done

    @rule(voxel=voxels, positive=st.booleans(), kill=st.booleans())
    def click(self, voxel, positive, kill):
        if not positive and not self._has_positive():
            return
        self._click(voxel, positive)
        if kill:
            self.controller.poll()
            self.controller.poll()
            self.engine.kill()
            self.controller.poll()
            self.controller.start_engine()
        self.wait()
        self._answered(self.current)

    @rule(voxel=voxels)
    def click_and_go_on_at_once(self, voxel):
        self._click(voxel, positive=True)
        self.controller.poll()
        self.controller.poll()
        clicked = self.current
        self._next()
        self.wait()
        # The result belongs to the click, one step below: undoing "next" leaves it there.
        self._answered(clicked)
        before_next = self._copy()
        del before_next[self.current]
        self.done[-1] = (before_next, clicked)

    @precondition(lambda self: self.current in self.segments and self._has_two_positives())
    @rule(index=st.integers(0, 20))
    def remove_a_point(self, index):
        self._step()
        points = self.segments[self.current].positive
        self.controller.prompt_nodes.positive.RemoveNthControlPoint(index % len(points))
        points.pop(index % len(points))
        self.wait()
        self._answered(self.current)

    @rule(name=st.sampled_from(NAMES))
    def name(self, name):
        if self.current in self.segments and self.segments[self.current].text == name:
            return
        self._step()
        self.controller.set_text(name)
        self._find_current()
        self.segments[self.current].text = name
        self.wait()
        self._answered(self.current)

    @precondition(lambda self: self.current in self.segments)
    @rule()
    def go_on_to_the_next(self):
        self._next()

    @precondition(lambda self: self.segments)
    @rule(index=st.integers(0, 20))
    def select(self, index):
        self.current = list(self.segments)[index % len(self.segments)]
        self.controller.choose_segment(self.current)

    @precondition(lambda self: self.segments)
    @rule(index=st.integers(0, 20))
    def delete(self, index):
        self._step()
        gone = list(self.segments)[index % len(self.segments)]
        self.controller.remove_segment(gone)
        del self.segments[gone]
        if self.current == gone:
            self.current = None

    @precondition(lambda self: self.current in self.segments)
    @rule()
    def clear(self):
        if self._is_cleared():
            return
        self._step()
        self.controller.clear()
        self.segments[self.current] = Expected()

    @precondition(lambda self: self.done)
    @rule()
    def undo(self):
        segments, current = self.done.pop()
        self.undone.append((self._copy(), self.current))
        self.segments, self.current = segments, current
        self.controller.undo()
        self.current = self.current if self.current in self.segments else None
        self.wait()

    @precondition(lambda self: self.undone)
    @rule()
    def redo(self):
        segments, current = self.undone.pop()
        self.done.append((self._copy(), self.current))
        self.segments, self.current = segments, current
        self.controller.redo()
        self.wait()

    @precondition(lambda self: self.segments)
    @rule()
    def save_and_reload(self):
        node = self.controller.state.segmentation_node
        storage = self.scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
        storage.SetFileName(str(self.folder / "s.seg.nrrd"))
        assert storage.WriteData(node)
        reloaded = self.scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        reloaded.SetAndObserveTransformNodeID(node.GetTransformNodeID())
        assert storage.ReadData(reloaded)
        self.controller.choose_segmentation(reloaded)
        self.scene.RemoveNode(node)
        self.scene.RemoveNode(storage)
        self.done.clear()
        self.undone.clear()
        last = list(self.segments)[-1]
        expected = self.segments[last]
        has_prompts = expected.positive or expected.negative or expected.text
        self.current = last if has_prompts else None
        self.wait()

    @rule()
    def switch_the_volume(self):
        self.volume = self.volumes[self.volume is self.volumes[0]]
        self.controller.choose_volume(self.volume)
        self.wait()

    @precondition(lambda self: self.segments)
    @rule(index=st.integers(0, 20))
    def delete_in_slicers_table(self, index):
        gone = list(self.segments)[index % len(self.segments)]
        self.controller.state.segmentation_node.GetSegmentation().RemoveSegment(gone)
        del self.segments[gone]
        if self.current == gone:
            self.current = None
        # What undo does after this is another test's; here the steps are forgotten.
        node = self.controller.state.segmentation_node
        current = self.current
        self.controller.poll()
        self.controller.choose_segmentation(None)
        self.controller.choose_segmentation(node)
        self.controller.choose_segment(current)
        self.done.clear()
        self.undone.clear()
        self.wait()

    @precondition(lambda self: self.current in self.segments)
    @rule()
    def run_again(self):
        if self.segments[self.current].positive or self.segments[self.current].text:
            before = self._copy()
            self.controller.run()
            self.wait()
            self._answered(self.current)
            if self._differs(before):
                self.done.append((before, self.current))
                self.undone.clear()

    # What must be so

    @invariant()
    def every_segment_is_as_it_should_be(self):
        state = self.controller.state
        node = state.segmentation_node
        ids = [] if node is None else list(node.GetSegmentation().GetSegmentIDs())
        assert ids == list(self.segments)
        assert state.segment_id == self.current
        for segment_id, expected in self.segments.items():
            prompts = stored_prompts(node, segment_id)
            points = () if prompts is None else prompts.points
            for positive, positions in ((True, expected.positive), (False, expected.negative)):
                ours = [p.ras for p in points if p.positive is positive]
                assert len(ours) == len(positions)
                if ours:
                    np.testing.assert_allclose(ours, positions, atol=1e-3)
            assert (None if prompts is None else prompts.text) == expected.text
            np.testing.assert_array_equal(
                slicers_mask(node, segment_id, self.volume), expected.mask
            )
        assert (state.undo_label is not None) == bool(self.done)
        assert (state.redo_label is not None) == bool(self.undone)
        shown = [] if self.current is None else self.segments[self.current].positive
        assert self.controller.prompt_nodes.positive.GetNumberOfControlPoints() == len(shown)

    # Shorthand

    def wait(self):
        for _ in range(100):
            self.controller.poll()
            if not self.controller.state.running and self.controller.state.progress is None:
                return
        raise AssertionError("still at work after 100 polls")

    def _click(self, voxel, positive):
        self._step()
        nodes = self.controller.prompt_nodes
        position = world_of(self.volume, voxel)
        (nodes.positive if positive else nodes.negative).AddControlPoint(*position)
        self.controller.poll()
        self._find_current()
        expected = self.segments[self.current]
        (expected.positive if positive else expected.negative).append(position)

    def _next(self):
        if self.current is not None and self._is_unused():
            self.controller.next_segment()
            return
        self._step()
        self.controller.next_segment()
        self._find_current()

    def _step(self):
        self.done.append((self._copy(), self.current))
        self.undone.clear()

    def _copy(self):
        return copy.deepcopy(self.segments)

    def _find_current(self):
        self.current = self.controller.state.segment_id
        self.segments.setdefault(self.current, Expected())

    def _answered(self, segment_id):
        """What the segments are after the result for one has come."""
        prompts = stored_prompts(self.controller.state.segmentation_node, segment_id)
        mask = rule_mask(volume_of(self.volume), prompts)
        others = [key for key in self.segments if key != segment_id]
        if self.overlap is Overlap.AVOID:
            for key in others:
                mask = mask & ~self.segments[key].mask
        if self.overlap is Overlap.OVERWRITE:
            for key in others:
                self.segments[key].mask = self.segments[key].mask & ~mask
        self.segments[segment_id].mask = mask

    def _has_positive(self):
        expected = self.segments.get(self.current, Expected())
        return bool(expected.positive or expected.text)

    def _has_two_positives(self):
        return len(self.segments[self.current].positive) > 1

    def _is_cleared(self):
        expected = self.segments[self.current]
        return not (expected.positive or expected.negative or expected.text or expected.mask.any())

    def _is_unused(self):
        segment = self.controller.state.segmentation_node.GetSegmentation().GetSegment(self.current)
        return self._is_cleared() and segment.GetName().startswith("Segment_")

    def _differs(self, before):
        return any(not np.array_equal(before[key].mask, self.segments[key].mask) for key in before)


def test_any_sequence_of_actions_leaves_every_segment_as_it_should_be(mrml, pytestconfig):
    machine = type("Actions", (Actions,), {"mrml": mrml})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=pytestconfig.getoption("--sequences"),
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            # Twenty actions can be read as they are; making them fewer takes many minutes.
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
        ),
    )
