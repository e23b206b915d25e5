"""A quick look at how well a network does during training: Dice for a name, a click and a box.

On the prepared image, where nothing is resampled; ``segvol evaluate`` measures what a user gets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segvol_core.embeddings import WindowEncoder
from segvol_core.evaluation.metrics import dice
from segvol_core.inference import Stage, ZoomOutZoomIn
from segvol_core.model.config import Size3
from segvol_core.model.prompt_encoder import POSITIVE
from segvol_core.model.segvol import SegVol
from segvol_core.training import augmentation as augment
from segvol_core.training import prompt_simulation as simulate
from segvol_core.training.cases import TrainingCase
from segvol_core.training.names import spellings
from segvol_core.training.targets import label_mask
from segvol_core.zoom import ImagePrompt, bounds

BoolArray = npt.NDArray[np.bool_]

_MIN_VOXELS = 12
_CACHE_BYTES = 256 * 1024**2

Look = tuple[float, dict[str, float]]
"""Mean Dice, and that of each kind of prompt."""


@dataclass(frozen=True)
class Validation:
    """When and how to look how good a network has become.

    Attributes
    ----------
    look
        Measures.
    every_steps
        Steps between two looks.
    patience
        The training ends after so many looks without a better one; None never ends it early.
    at_start
        Whether to look before the first step, too, to see what training is worth.
    """

    look: Callable[[], Look]
    every_steps: int
    patience: int | None
    at_start: bool = False


def look(model: SegVol, cases: Sequence[TrainingCase]) -> Look:
    """Mean of :func:`validation_dice` over structures, and over kinds of prompts."""
    kinds = {
        kind: float(np.mean(list(structures.values()))) if structures else 0.0
        for kind, structures in validation_dice(model, cases).items()
    }
    return float(np.mean(list(kinds.values()))), kinds


def validation_dice(model: SegVol, cases: Sequence[TrainingCase]) -> dict[str, dict[str, float]]:
    """Mean Dice of each structure for text, one centred click and an exact box.

    Of final masks where a network answers most prompts without windows, which is quick. Else of
    zoomed-out masks, on their grid: figures are lower for thin structures then than those of the
    whole procedure.

    Returns
    -------
    dict
        Dice of each structure, for each kind of prompt.
    """
    model.eval()
    quick = model.region_network is not None and model.name_network is not None
    found: dict[str, dict[str, list[float]]] = {"text": {}, "click": {}, "box": {}}
    for case in cases:
        if case.labels is None:
            continue
        for kind, name, mask, predicted in (_final if quick else _zoomed_out)(model, case):
            found[kind].setdefault(name, []).append(dice(predicted, mask))
    return {
        kind: {name: float(np.mean(values)) for name, values in structures.items()}
        for kind, structures in found.items()
    }


Found = tuple[str, str, BoolArray, BoolArray]
"""Kind of prompt, structure, its mask and what was found."""


def _final(model: SegVol, case: TrainingCase) -> Iterator[Found]:
    """What a user gets, at the image's voxels."""
    image = case.image.float()
    encoder = WindowEncoder(model, image, _CACHE_BYTES)
    procedure = ZoomOutZoomIn(model, image, encoder, "lattice")
    nothing = torch.empty(0, 3, dtype=torch.int64)
    for name, mask in _structures(case, case.labels):
        click = torch.from_numpy(simulate.centre_voxel(mask))[None]
        box = bounds(torch.from_numpy(np.argwhere(mask)))
        prompts = {
            "text": ImagePrompt(nothing, nothing[:, 0], None, spellings(name)[0]),
            "click": ImagePrompt(click, torch.tensor([POSITIVE]), None, None),
            "box": ImagePrompt(nothing, nothing[:, 0], box, None),
        }
        for kind, prompt in prompts.items():
            *_, last = (step for step in procedure.run([prompt]) if step.stage is Stage.FINAL)
            if last.logits is not None:
                yield kind, name, mask, (last.logits > 0).numpy()


def _zoomed_out(model: SegVol, case: TrainingCase) -> Iterator[Found]:
    """What is seen of the whole image in one window."""
    device = next(model.parameters()).device
    shape: Size3 = tuple(case.image.shape)  # type: ignore[assignment]
    overview = augment.draw_overview(
        shape, model.config.window, augment.NONE, np.random.default_rng(0), 1.0
    )
    geometry = overview.zoomed_out()
    image = augment.sample_image(case.image, geometry)[None].to(device)
    labels = None if case.labels is None else augment.sample_labels(case.labels, geometry)
    with torch.inference_mode():
        embedding = model.image_encoder(image[None])
        for name, mask in _structures(case, labels):
            click = torch.from_numpy(simulate.centre_voxel(mask)).float().reshape(1, 1, 3)
            positive = torch.ones(1, 1, device=device)
            box = torch.from_numpy(simulate.box_of(mask))[None].to(device)
            text = model.text_encoder([spellings(name)[0]])
            logits = {
                "text": model.decode(embedding, text_embedding=text, image=image),
                "click": model.decode(embedding, points=(click.to(device), positive), image=image),
                "box": model.decode(embedding, boxes=box, image=image),
            }
            for kind, low in logits.items():
                yield kind, name, mask, (model.upscale(low)[0, 0] > 0).cpu().numpy()


def _structures(case: TrainingCase, labels: Tensor | None) -> Iterator[tuple[str, BoolArray]]:
    """Those that are not tiny."""
    if labels is None:
        return
    for name, value in case.label_values.items():
        mask = label_mask(labels, case.values_of(value)).numpy()
        if mask.sum() >= _MIN_VOXELS:
            yield name, mask
