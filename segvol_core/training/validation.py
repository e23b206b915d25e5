"""A quick look at how well a network does during training: Dice of zoom-out masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from segvol_core.evaluation.metrics import dice
from segvol_core.model.config import Size3
from segvol_core.model.segvol import SegVol
from segvol_core.training import augmentation as augment
from segvol_core.training import prompt_simulation as simulate
from segvol_core.training.cases import TrainingCase
from segvol_core.training.names import spellings
from segvol_core.training.targets import label_mask

BoolArray = npt.NDArray[np.bool_]

_MIN_VOXELS = 12

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


def zoom_out_look(model: SegVol, cases: Sequence[TrainingCase]) -> Look:
    """Mean of :func:`zoom_out_dice` over structures, and over kinds of prompts."""
    kinds = {
        kind: float(np.mean(list(structures.values()))) if structures else 0.0
        for kind, structures in zoom_out_dice(model, cases).items()
    }
    return float(np.mean(list(kinds.values()))), kinds


def zoom_out_dice(model: SegVol, cases: Sequence[TrainingCase]) -> dict[str, dict[str, float]]:
    """Mean Dice of each structure for text, one centred click and an exact box.

    Masks are compared on the zoomed-out grid, so figures are lower for thin structures than those
    of the whole procedure (``segvol evaluate``).

    Returns
    -------
    dict
        Dice of each structure, for each kind of prompt.
    """
    model.eval()
    device = next(model.parameters()).device
    found: dict[str, dict[str, list[float]]] = {"text": {}, "click": {}, "box": {}}
    for case in cases:
        if case.labels is None:
            continue
        shape: Size3 = tuple(case.image.shape)  # type: ignore[assignment]
        overview = augment.draw_overview(
            shape, model.config.window, augment.NONE, np.random.default_rng(0), 1.0
        )
        geometry = overview.zoomed_out()
        image = augment.sample_image(case.image, geometry).to(device)
        labels = augment.sample_labels(case.labels, geometry)
        with torch.inference_mode():
            embedding = model.image_encoder(image[None, None])
            for name, value in case.label_values.items():
                mask = label_mask(labels, case.parts.get(value, (value,))).numpy()
                if mask.sum() < _MIN_VOXELS:
                    continue
                click = torch.from_numpy(simulate.centre_voxel(mask)).float().reshape(1, 1, 3)
                positive = torch.ones(1, 1, device=device)
                box = torch.from_numpy(simulate.box_of(mask))[None]
                text = model.text_encoder([spellings(name)[0]])
                logits = {
                    "text": model.decode(embedding, text_embedding=text, image=image[None]),
                    "click": model.decode(
                        embedding, points=(click.to(device), positive), image=image[None]
                    ),
                    "box": model.decode(embedding, boxes=box.to(device), image=image[None]),
                }
                for kind, low in logits.items():
                    predicted = (model.upscale(low)[0, 0] > 0).cpu().numpy()
                    found[kind].setdefault(name, []).append(dice(predicted, mask))
    return {
        kind: {name: float(np.mean(values)) for name, values in structures.items()}
        for kind, structures in found.items()
    }
