"""A user with a volume and an engine, who works through the controller on the real scene."""

import torch
from in_process_engine import InProcessEngine, rule_mask
from scenes import (
    add_volume,
    slicers_mask,
    world_of,
)
from small_config import SMALL

from segvol_core.model.segvol import SegVol
from SegVolLogic.controller import SegVolController
from SegVolLogic.events import Said
from SegVolLogic.segment_tags import stored_prompts
from SegVolLogic.states import Phase
from SegVolLogic.volume_node import volume_of


class Desk:
    """A controller with a volume and an engine, and shorthand for what a user does."""

    def __init__(self, scene, engine=None, options=None, volume=None):
        self.scene = scene
        self.engine = engine or InProcessEngine()
        self.events = []
        self.controller = SegVolController(
            scene, self.engine, listener=self.events.append, options=options
        )
        self.volume = volume or add_volume(scene)
        self.controller.choose_volume(self.volume)
        self.controller.start_engine()
        self.wait()

    @property
    def state(self):
        return self.controller.state

    @property
    def node(self):
        return self.state.segmentation_node

    def poll(self, times=1):
        for _ in range(times):
            self.controller.poll()

    def wait(self):
        for _ in range(100):
            self.controller.poll()
            if not self.controller.busy and self.state.phase is not Phase.UPLOADING:
                return
        raise AssertionError(f"still {self.state.phase} after 100 polls")

    def click(self, ijk, positive=True):
        nodes = self.controller.prompt_nodes
        node = nodes.positive if positive else nodes.negative
        node.AddControlPoint(*world_of(self.volume, ijk))

    def mask(self, segment_id=None):
        return slicers_mask(self.node, segment_id or self.state.segment_id, self.volume)

    def expected(self, segment_id=None):
        """What the engine gives for the segment's own prompts."""
        prompts = stored_prompts(self.node, segment_id or self.state.segment_id)
        return rule_mask(volume_of(self.volume), prompts)

    def said(self):
        return [event.message for event in self.events if isinstance(event, Said)]

    def segments(self):
        return list(self.node.GetSegmentation().GetSegmentIDs())


def small_network():
    """A network small enough to be made and run in milliseconds."""
    torch.manual_seed(0)
    return SegVol(SMALL).eval()
