"""The whole network: image, prompts and text to a mask."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from segvol_core.model.config import PUBLISHED, SegVolConfig
from segvol_core.model.image_encoder import ImageEncoder
from segvol_core.model.mask_decoder import MaskDecoder
from segvol_core.model.name_network import NameNetwork
from segvol_core.model.prompt_encoder import PromptEncoder
from segvol_core.model.prompt_priors import DRAWN_BOX_MAPS, PromptPriors
from segvol_core.model.refinement import Refinement
from segvol_core.model.region_network import RegionNetwork
from segvol_core.model.text_encoder import TextEncoder


class SegVol(nn.Module):
    """Promptable 3-D segmentation network (Du et al., NeurIPS 2024).

    Encoding an image is the expensive part and does not depend on the prompt, so it is a step of
    its own: ``model.decode(model.image_encoder(window), …)``. State-dict keys are the published
    ones without their prefix.
    """

    def __init__(self, config: SegVolConfig = PUBLISHED) -> None:
        super().__init__()
        self.config = config
        self.image_encoder = ImageEncoder(config)
        self.mask_decoder = MaskDecoder(config)
        self.prompt_encoder = PromptEncoder(config)
        self.text_encoder = TextEncoder(config)
        self.prompt_priors = PromptPriors(config) if config.prompt_priors else None
        self.refinement = Refinement(config) if config.refinement_width else None
        self.region_network = RegionNetwork(config) if config.region_network_width else None
        self.name_network = NameNetwork(config) if config.name_network_width else None

    def decode(
        self,
        image_embedding: Tensor,
        *,
        points: tuple[Tensor, Tensor] | None = None,
        boxes: Tensor | None = None,
        text_embedding: Tensor | None = None,
        coarse: Tensor | None = None,
        drawn_boxes: Tensor | None = None,
        image: Tensor | None = None,
    ) -> Tensor:
        """Low-resolution logits of each prompt on embedded windows.

        Parameters
        ----------
        image_embedding
            (1 or batch, width, d, h, w), from ``image_encoder``.
        points, boxes, text_embedding
            As in :meth:`PromptEncoder.forward`, in any combination.
        coarse
            Logits (batch, D, H, W) of zooming out in this window.
        drawn_boxes
            (batch, 6) boxes of the user where ``boxes`` are what zooming out has made of them; they
            may reach beyond the window. Only a network with a refinement looks at them.
        image
            The windows (1 or batch, D, H, W). Only a network with ``config.prompt_priors`` looks at
            them, which it needs, and at the coarse logits.

        Returns
        -------
        Tensor
            (batch, 1, 4 d, 4 h, 4 w).
        """
        sparse, dense = self.prompt_encoder(points, boxes, text_embedding)
        positions = self.prompt_encoder.dense_positions()
        if self.prompt_priors is None:
            decoded: Tensor
            decoded, _, _ = self.mask_decoder(
                image_embedding, positions, sparse, dense, text_embedding
            )
            return decoded
        if image is None:
            raise ValueError("a network with prompt priors needs the window's image")
        maps = self.prompt_priors.draw(
            image,
            image_embedding,
            points=points,
            boxes=boxes,
            text_embedding=text_embedding,
            coarse=coarse,
        )
        dense = dense + self.prompt_priors.on_tokens(maps)
        logits: Tensor
        logits, mask_token, tokens = self.mask_decoder(
            image_embedding, positions, sparse, dense, text_embedding
        )
        logits = logits + self.prompt_priors.on_logits(maps, mask_token)
        if self.refinement is not None:
            if drawn_boxes is None and coarse is None:
                drawn_boxes = boxes
            drawn = maps.new_zeros(len(maps), DRAWN_BOX_MAPS, *maps.shape[2:])
            if drawn_boxes is not None:
                drawn = self.prompt_priors.of_drawn_box(image, drawn_boxes)
            logits = logits + self.refinement.refine(image, maps, drawn, logits, tokens)
        return logits

    def upscale(self, low_resolution_logits: Tensor) -> Tensor:
        """Logits at every voxel of the window: (batch, 1, D, H, W)."""
        return F.interpolate(
            low_resolution_logits, size=self.config.window, mode="trilinear", align_corners=False
        )

    def forward(
        self,
        image: Tensor,
        *,
        points: tuple[Tensor, Tensor] | None = None,
        boxes: Tensor | None = None,
        text: Sequence[str] | None = None,
    ) -> Tensor:
        """Logits (batch, 1, D, H, W) of one prompt per window (batch, 1, D, H, W)."""
        low = self.decode(
            self.image_encoder(image),
            points=points,
            boxes=boxes,
            text_embedding=None if text is None else self.text_encoder(text),
            image=image[:, 0],
        )
        return self.upscale(low)
