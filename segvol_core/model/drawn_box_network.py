"""What a drawn box and the grey values alone say: a second answer, which needs no coarse mask.

Where zooming out finds the wrong thing, or nothing, the coarse mask misleads zooming in, although
the user has drawn a box round the structure. With ``config.drawn_box_width`` a U-Net sees nothing
but grey values and that box, and when zooming in the logits are the mean of both answers. It needs
no tokens, so that training shows it many times more boxes a minute than the whole network.
"""

from __future__ import annotations

import torch
from torch import Tensor

from segvol_core.model.config import SegVolConfig
from segvol_core.model.prompt_priors import DRAWN_BOX_MAPS
from segvol_core.model.unet import UNet, grey_at

_LOGIT_IN_THE_MIDDLE = 3.0


class DrawnBoxNetwork(UNet):
    """A U-Net that changes the ellipsoid in a box."""

    def __init__(self, config: SegVolConfig) -> None:
        super().__init__(1 + DRAWN_BOX_MAPS, config.drawn_box_width)

    def answer(self, image: Tensor, drawn_box: Tensor) -> Tensor:
        """Logits (batch, 1, 4 d, 4 h, 4 w).

        Parameters
        ----------
        image
            (1 or batch, D, H, W), grey values in [0, 1].
        drawn_box
            (batch, ``DRAWN_BOX_MAPS``, 4 d, 4 h, 4 w), from :meth:`PromptPriors.of_drawn_box`.
        """
        grey = grey_at(image, drawn_box.shape[2:]).expand(len(drawn_box), -1, -1, -1, -1)
        changed: Tensor = self(torch.cat([grey, drawn_box], dim=1))
        return _LOGIT_IN_THE_MIDDLE * drawn_box[:, :1] + changed
