"""What an example costs: masks of prompts zoomed out and in, and names."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from segvol_core.model.segvol import SegVol
from segvol_core.training.examples import Example, PromptBatch, Structures
from segvol_core.training.losses import ExampleLoss, segmentation_loss
from segvol_core.training.named_losses import named_losses
from segvol_core.training.recognition import Recognition
from segvol_core.training.zoom_in import boxes_around, coarse_in_window

_RECOGNITION_WEIGHT = 0.5


def prompt_losses(
    model: SegVol, embeddings: Tensor, example: Example, prompts: PromptBatch
) -> tuple[Tensor, ...]:
    """Losses (n,) zoomed out and (n,) zoomed in of a batch of prompts.

    A third one is that of a region network: of its answer to boxes and clicks, or of what it makes
    of the coarse mask of a text.

    Parameters
    ----------
    embeddings
        (2, width, d, h, w) of overview and window.
    """
    device = embeddings.device
    images = torch.stack([example.overview, example.window]).to(device)
    texts = None if prompts.texts is None else model.text_encoder(prompts.texts)
    boxes = None if prompts.overview_boxes is None else prompts.overview_boxes.to(device)
    overview = model.decode(
        embeddings[:1],
        points=_on(prompts.overview_points, device),
        boxes=boxes,
        text_embedding=texts,
        image=images[:1],
    )
    with torch.no_grad():
        coarse = coarse_in_window(model.upscale(overview.detach().float()), example.positions)
        box = None if prompts.kind == "text" else boxes_around(coarse > 0)
    points = _on(prompts.window_points, device)
    drawn = None if prompts.window_boxes is None else prompts.window_boxes.to(device)
    window = model.decode(
        embeddings[1:],
        points=points,
        boxes=box,
        text_embedding=texts,
        coarse=coarse,
        drawn_boxes=drawn,
        image=images[1:],
    )
    target = prompts.window_target.to(device)
    with torch.autocast(device.type, enabled=False):
        losses = (
            segmentation_loss(overview.float(), prompts.overview_target.to(device)),
            segmentation_loss(window.float(), target),
        )
    if model.region_network is None:
        return losses
    by_name = coarse if drawn is None and points is None else None
    region = model.region_network.answer(images[1:], points=points, boxes=drawn, coarse=by_name)
    with torch.autocast(device.type, enabled=False):
        return *losses, segmentation_loss(region.unsqueeze(1), target)


def example_loss(model: SegVol, recognition: Recognition, example: Example) -> ExampleLoss:
    """Loss of all that is asked of an example, a part for each kind of prompt."""
    device = next(model.parameters()).device
    images = torch.stack([example.overview, example.window])[:, None].to(device)
    embeddings = model.image_encoder(images)
    # With few tokens on one side, the gradient of fused attention is five times slower.
    with sdpa_kernel(SDPBackend.MATH):
        losses = [prompt_losses(model, embeddings, example, each) for each in example.prompts]
        named = None
        if example.structures is not None:
            named = recognition_loss(model, recognition, embeddings, example.structures)
        found = []
        if model.name_network is not None and example.named:
            found = [named_losses(model.name_network, example.named, model.text_encoder)]
    loss = torch.cat([*(part for pair in losses for part in pair), *found]).mean()
    parts = [
        (f"{place}:{prompts.kind}", float(part.detach().mean()))
        for prompts, pair in zip(example.prompts, losses, strict=True)
        for place, part in zip(("out", "in", "region"), pair, strict=False)
    ]
    parts += [("network of names", float(part.detach().mean())) for part in found]
    if named is not None:
        loss = loss + _RECOGNITION_WEIGHT * named.mean()
        parts.append(("names", float(named.detach().mean())))
    return ExampleLoss(loss, parts)


def recognition_loss(
    model: SegVol, recognition: Recognition, embeddings: Tensor, structures: Structures
) -> Tensor:
    """Loss (n,) of naming what each patch of overview and window shows."""
    device = embeddings.device
    names = model.text_encoder(structures.names)
    losses = []
    for embedding, masks in zip(
        embeddings, (structures.overview_masks, structures.window_masks), strict=True
    ):
        logits = recognition(embedding[None], names)
        with torch.autocast(device.type, enabled=False):
            losses.append(segmentation_loss(logits.float(), masks.to(device)))
    return torch.cat(losses)


def _on(points: tuple[Tensor, Tensor] | None, device: torch.device) -> tuple[Tensor, Tensor] | None:
    return None if points is None else (points[0].to(device), points[1].to(device))
