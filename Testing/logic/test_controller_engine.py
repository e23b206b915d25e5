"""The engine: cancelled, failing, dying, exchanged, installed; nothing in the scene is lost."""

import time

import numpy as np
from controller_desk import Desk
from in_process_engine import InProcessEngine, rule_mask
from scenes import (
    add_volume,
    slicers_mask,
    world_of,
)

from segvol_core.packages.job import JobCancelled, JobDone, JobFailed, JobRunning
from SegVolLogic.controller import SegVolController
from SegVolLogic.engine import EngineStage
from SegVolLogic.events import PrintedLines, Said
from SegVolLogic.segment_tags import stored_prompts
from SegVolLogic.states import Phase


def test_cancelling_leaves_the_mask_of_before(desk):
    desk.click((3, 4, 2))
    desk.wait()
    before = desk.mask()
    desk.click((5, 1, 4))
    desk.poll(2)
    assert not np.array_equal(desk.mask(), before)  # the coarse mask
    desk.controller.cancel()
    np.testing.assert_array_equal(desk.mask(), before)
    desk.poll(10)
    np.testing.assert_array_equal(desk.mask(), before)


def test_a_newer_prompt_replaces_the_one_being_computed(desk):
    desk.click((3, 4, 2))
    desk.poll(2)
    desk.click((5, 1, 4))
    desk.wait()
    np.testing.assert_array_equal(desk.mask(), desk.expected())
    assert len(stored_prompts(desk.node, desk.state.segment_id).points) == 2


def test_a_failure_is_said_and_loses_nothing(scene):
    from segvol_core.errors import VolumeError  # noqa: PLC0415

    fails = []

    def answer(volume, prompts):
        yield EngineStage.COARSE, 0.1, np.ones(volume.shape_kji, bool), ""
        if fails:
            raise VolumeError("The memory is full.")
        yield EngineStage.FINAL, 1.0, rule_mask(volume, prompts), ""

    desk = Desk(scene, InProcessEngine(answer))
    desk.click((3, 4, 2))
    desk.wait()
    before = desk.mask()
    fails.append(True)
    desk.click((5, 1, 4))
    desk.wait()
    assert "The memory is full." in desk.said()
    assert desk.state.message == "The memory is full."
    np.testing.assert_array_equal(desk.mask(), before)
    assert len(stored_prompts(desk.node, desk.state.segment_id).points) == 2


def test_a_process_that_dies_is_started_again_without_a_loss(desk):
    desk.click((3, 4, 2))
    desk.wait()
    desk.click((5, 1, 4))
    desk.poll(2)
    desk.engine.kill()
    desk.poll(2)
    assert desk.state.phase is Phase.ENGINE_FAILED
    assert desk.state.message == "The inference process ended unexpectedly."
    assert desk.state.can_start_engine
    desk.controller.start_engine()
    desk.wait()
    assert desk.engine.volumes[-1] is desk.engine.volumes[0]
    np.testing.assert_array_equal(desk.mask(), desk.expected())


def test_prompts_given_before_the_engine_runs_are_answered_when_it_does(scene):
    controller = SegVolController(scene, InProcessEngine())
    volume = add_volume(scene)
    controller.choose_volume(volume)
    controller.prompt_nodes.positive.AddControlPoint(*world_of(volume, (3, 4, 2)))
    controller.poll()
    assert controller.state.phase is Phase.ENGINE_OFF
    assert controller.state.running
    controller.start_engine()
    for _ in range(10):
        controller.poll()
    state = controller.state
    assert slicers_mask(state.segmentation_node, state.segment_id, volume)[2, 4, 3]


def test_stopping_the_process_loses_nothing_in_the_scene(desk):
    desk.click((3, 4, 2))
    desk.wait()
    before = desk.mask()
    desk.click((5, 1, 4))
    desk.poll(2)
    desk.controller.stop_engine()
    assert desk.state.phase is Phase.ENGINE_OFF
    assert not desk.state.running
    np.testing.assert_array_equal(desk.mask(), before)
    assert len(stored_prompts(desk.node, desk.state.segment_id).points) == 2
    desk.controller.start_engine()
    desk.controller.run()
    desk.wait()
    np.testing.assert_array_equal(desk.mask(), desk.expected())


def test_another_engine_goes_on_with_what_is_running(desk):
    desk.click((3, 4, 2))
    desk.poll(2)
    desk.controller.use_engine(InProcessEngine())
    desk.wait()
    np.testing.assert_array_equal(desk.mask(), desk.expected())


class Job:
    """States that an operation on packages goes through, in the place of an hour's download."""

    def __init__(self, *states):
        self.states = list(states)
        self.cancelled = False

    def poll(self):
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    def cancel(self):
        self.cancelled = True
        self.states = [JobCancelled()]


def test_installing_shows_its_lines_and_starts_the_process(scene):
    events = []
    controller = SegVolController(scene, InProcessEngine(), listener=events.append)
    controller.choose_volume(add_volume(scene))
    controller.install(Job(JobRunning(("torch",)), JobRunning(()), JobDone("Installed.", ("end",))))
    assert controller.state.phase is Phase.INSTALLING
    assert controller.state.can_cancel
    for _ in range(6):
        controller.poll()
    assert [each.lines for each in events if isinstance(each, PrintedLines)] == [
        ("torch",),
        ("end",),
    ]
    assert Said("Installed.") in events
    assert controller.state.phase is Phase.READY


def test_an_installation_that_fails_or_is_cancelled_starts_nothing(scene):
    controller = SegVolController(scene, InProcessEngine())
    controller.choose_volume(add_volume(scene))
    controller.install(Job(JobFailed("The disk is full.", None)))
    controller.poll()
    assert controller.state.phase is Phase.ENGINE_OFF
    assert controller.state.message == "The disk is full."
    job = Job(JobRunning(()))
    controller.install(job)
    controller.poll()
    controller.cancel()
    controller.poll()
    assert job.cancelled
    assert controller.state.phase is Phase.ENGINE_OFF


def test_removing_the_packages_starts_nothing(scene):
    controller = SegVolController(scene, InProcessEngine())
    controller.choose_volume(add_volume(scene))
    controller.install(Job(JobDone("Removed.")), then_start=False)
    controller.poll()
    assert controller.state.phase is Phase.ENGINE_OFF


def test_quitting_leaves_nothing_behind(desk):
    desk.click((3, 4, 2))
    desk.poll(2)
    desk.controller.close()
    desk.controller.close()
    desk.poll()
    assert desk.state.phase is Phase.CLOSED
    assert desk.scene.GetNumberOfNodesByClass("vtkMRMLMarkupsNode") == 0
    assert not desk.mask().any()


def test_polling_when_nothing_happens_takes_no_time_and_tells_nothing(desk):
    for _ in range(20):
        desk.click((3, 4, 2))
    desk.wait()
    desk.events.clear()
    started = time.process_time()
    desk.poll(20)
    assert (time.process_time() - started) / 20 < 0.02
    assert desk.events == []
