"""What the prompts drawn in a region and its grey values alone say: a second answer.

Where zooming out finds the wrong thing, or nothing, its coarse mask misleads zooming in, although
the user has drawn a box round the structure or clicked on it; and no window shows all of a large
structure. With ``config.region_network_width`` a U-Net sees nothing but the grey values of all that
is looked at closer, the box and the clicks, and the logits are the mean of both answers. It needs
no tokens, so that training shows it many times more prompts a minute than the whole network.
"""

from __future__ import annotations

import torch
from torch import Tensor

from segvol_core.model.config import SegVolConfig
from segvol_core.model.prompt_maps import (
    CLICKED_CELLS,
    NEAR_CELLS,
    OF_BOX,
    OF_GREY_VALUES,
    OF_POINTS,
    Points,
    cells_over,
    of_box,
    of_coarse_mask,
    of_grey_values,
    of_points,
)
from segvol_core.model.unet import UNet

_LOGIT_IN_THE_MIDDLE = 3.0
_EXACT_NEAR_CELLS, _EXACT_CLICKED_CELLS = (1.0, 10.0), 0.7
"""A spinal cord is three cells wide, with bone round it: which of both was clicked must show."""
_CERTAIN_LOGIT = 3.0
"""Of a coarse mask; what is as certain is as the middle of a box."""


class RegionNetwork(UNet):
    """A U-Net that changes the ellipsoid in a box, or grows from clicks.

    Attributes
    ----------
    step
        Voxels of which each side of a region is a multiple.
    """

    def __init__(self, config: SegVolConfig) -> None:
        maps = 1 + OF_BOX + OF_GREY_VALUES + OF_POINTS
        super().__init__(maps, config.region_network_width, config.region_network_levels)
        self.step = config.region_network_step
        exact = config.region_network_exact_clicks
        self._near_cells = _EXACT_NEAR_CELLS if exact else NEAR_CELLS
        self._clicked_cells = _EXACT_CLICKED_CELLS if exact else CLICKED_CELLS

    def answer(
        self,
        image: Tensor,
        *,
        points: Points | None = None,
        boxes: Tensor | None = None,
        coarse: Tensor | None = None,
    ) -> Tensor:
        """Logits (batch, D, H, W) of prompts in regions.

        Parameters
        ----------
        image
            (1 or batch, D, H, W), grey values in [0, 1]; sides are multiples of ``step``.
        points, boxes
            As :meth:`PromptEncoder.forward` takes them, either or both, as the user gave them: a
            box may reach beyond the image.
        coarse
            Logits (batch, D, H, W) of a coarse mask, in the place of a box and clicks.
        """
        _, depth, height, width = image.shape
        shape = (depth, height, width)
        cells = cells_over(shape, shape, image.device)
        boxed = None if boxes is None else of_box(cells, boxes)
        if coarse is not None:
            mask = of_coarse_mask(cells, coarse, _CERTAIN_LOGIT)
            boxed = torch.cat([mask, torch.zeros_like(mask)], dim=1)
        level = None if boxed is None else boxed[:, 0]
        likeness = of_grey_values(cells, image, points, level, self._clicked_cells)
        nothing = torch.zeros_like(likeness)
        ellipsoid = nothing if boxed is None else boxed
        near = (
            torch.cat([nothing, nothing], dim=1)
            if points is None
            else of_points(cells, points, self._near_cells)
        )
        grey = (2 * image.float() - 1).unsqueeze(1).expand(len(likeness), -1, -1, -1, -1)
        changed: Tensor = self(torch.cat([grey, ellipsoid, likeness, near], dim=1))
        return (_LOGIT_IN_THE_MIDDLE * ellipsoid[:, :1] + changed)[:, 0]
