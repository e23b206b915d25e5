"""The controller with real inference processes: same masks as the core's own, whatever dies."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from running_server import TOKEN, running_server
from scenes import add_volume, slicers_mask, world_of
from small_network import small_network

from segvol_core.local_server import Ready
from segvol_core.prompts import Point, Prompts
from segvol_core.session import Session
from segvol_core.weights import save_model
from SegVolLogic.client_engine import ClientEngine
from SegVolLogic.controller import SegVolController
from SegVolLogic.engine import EngineState
from SegVolLogic.engines import local_engine, server_engine
from SegVolLogic.reach import ThisComputer
from SegVolLogic.script import running, segment
from SegVolLogic.segment_tags import stored_prompts
from SegVolLogic.states import Phase
from SegVolLogic.volume_node import volume_of

SHAPE_KJI = (18, 34, 36)
PATIENCE_SECONDS = 240.0


@pytest.fixture(scope="module")
def network():
    return small_network()


@pytest.fixture(scope="module")
def server(network):
    with running_server({"small": network}) as server:
        yield server


@pytest.fixture
def volume(scene):
    return add_volume(scene, "oblique", SHAPE_KJI)


def poll_until(controller, condition):
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition(controller.state):
        assert time.monotonic() < end, controller.state
        started = time.process_time()
        controller.poll()
        longest.append(time.process_time() - started)
        time.sleep(0.01)


longest = []


def click(controller, volume, ijk):
    controller.prompt_nodes.positive.AddControlPoint(*world_of(volume, ijk))
    controller.poll()


def own_mask(network, volume, node, segment_id):
    return Session(network, volume_of(volume)).mask(stored_prompts(node, segment_id))


def assert_own(network, controller, volume):
    state = controller.state
    mask = slicers_mask(state.segmentation_node, state.segment_id, volume)
    own = own_mask(network, volume, state.segmentation_node, state.segment_id)
    np.testing.assert_array_equal(mask, own)


def test_a_server_gives_the_cores_own_masks(scene, server, network, volume):
    controller = SegVolController(scene, server_engine(server.url, TOKEN))
    controller.choose_volume(volume)
    controller.start_engine()
    for ijk in [(13, 24, 12), (5, 8, 3)]:
        click(controller, volume, ijk)
        poll_until(controller, lambda state: not state.running)
        assert_own(network, controller, volume)
    controller.close()
    assert controller.state.phase is Phase.CLOSED


def test_a_wrong_token_is_said(scene, server, volume):
    controller = SegVolController(scene, server_engine(server.url, "wrong"))
    controller.choose_volume(volume)
    controller.start_engine()
    poll_until(controller, lambda state: state.phase is Phase.ENGINE_FAILED)
    assert "token" in controller.state.message
    controller.use_engine(server_engine(server.url, TOKEN))
    poll_until(controller, lambda state: state.phase is Phase.READY)
    controller.close()


def test_a_server_that_is_not_there_is_said_and_keeps_nobody_waiting(scene, volume):
    controller = SegVolController(scene, server_engine("http://127.0.0.1:9", "token"))
    controller.choose_volume(volume)
    controller.start_engine()
    poll_until(controller, lambda state: state.phase is Phase.ENGINE_FAILED)
    assert "cannot be reached" in controller.state.message
    click(controller, volume, (13, 24, 12))
    assert controller.state.running
    controller.close()


def test_an_address_that_is_none_is_said(scene, volume):
    controller = SegVolController(scene, server_engine("my server", "token"))
    controller.choose_volume(volume)
    controller.start_engine()
    poll_until(controller, lambda state: state.phase is Phase.ENGINE_FAILED)
    assert "address" in controller.state.message
    controller.close()


def test_two_volumes_and_a_script_on_one_server(scene, server, network):
    volumes = [add_volume(scene, "axial", SHAPE_KJI, seed) for seed in (0, 1)]
    with running(server_engine(server.url, TOKEN)) as engine:
        for volume in volumes:
            prompts = Prompts((Point(world_of(volume, (13, 24, 12))),))
            done = segment(volume, prompts, engine=engine)
            (segment_id,) = done.segment_ids
            np.testing.assert_array_equal(
                slicers_mask(done.segmentation_node, segment_id, volume),
                own_mask(network, volume, done.segmentation_node, segment_id),
            )


class WatchedComputer(ThisComputer):
    """Tells which process serves."""

    def pid(self):
        state = self._server.poll()
        return state.pid if isinstance(state, Ready) else None


def test_a_process_of_this_computer_is_killed_and_comes_back(
    scene, network, volume, tmp_path, monkeypatch
):
    monkeypatch.setenv("SEGVOL_HOME", str(tmp_path / "home"))
    weights = tmp_path / "small.safetensors"
    save_model(network, weights)
    made = local_engine(str(weights), "cpu", python=Path(sys.executable))
    reach = WatchedComputer(made._reach._make_server)
    controller = SegVolController(scene, ClientEngine(reach))
    controller.choose_volume(volume)
    click(controller, volume, (13, 24, 12))
    assert controller.state.running
    controller.start_engine()
    poll_until(controller, lambda state: not state.running)
    assert_own(network, controller, volume)

    first = reach.pid()
    click(controller, volume, (5, 8, 3))
    os.kill(first, signal.SIGKILL)
    poll_until(controller, lambda state: state.engine is EngineState.STARTING)
    assert "started again" in controller.state.message
    poll_until(controller, lambda state: not state.running)
    assert reach.pid() != first
    assert_own(network, controller, volume)

    last = reach.pid()
    controller.close()
    with pytest.raises(ProcessLookupError):
        os.kill(last, 0)


def test_no_poll_took_long():
    """Processor time of all polls above, of which some wrote results."""
    assert longest
    assert np.percentile(longest, 95) < 0.02
