"""One training example: a window of a case, and several prompts with the masks they ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segvol_core.model.config import Size3
from segvol_core.training import augmentation as augment
from segvol_core.training import prompt_simulation as simulate
from segvol_core.training.augmentation import Geometry, Strength
from segvol_core.training.cases import TrainingCase
from segvol_core.training.names import draw_spelling, mirrored, spellings

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
Kind = Literal["text", "points", "box", "text+points", "text+box", "points+box"]

ZOOM_OUT_SHARE = 0.4
"""Windows that show a whole volume; the others show it at the network's own voxel size."""

_ZOOM_OUT_KINDS: dict[Kind, float] = {
    "points": 0.32,
    "box": 0.32,
    "text": 0.14,
    "text+points": 0.06,
    "text+box": 0.06,
    "points+box": 0.10,
}
# Zooming in never gives points without the box of the coarse mask.
_ZOOM_IN_KINDS: dict[Kind, float] = {
    "box": 0.38,
    "points+box": 0.36,
    "text": 0.16,
    "text+box": 0.10,
}
_MIN_VOXELS = 16
_UNION_SHARE = 0.12
_SMALLEST_PART = 0.5
_VOXELS_KEPT = 64


@dataclass(frozen=True)
class PromptBatch:
    """Prompts of one kind on one window.

    Attributes
    ----------
    target
        (n, D, H, W) bool.
    points, boxes, texts
        As the network takes them, n of each; None where the kind has none.
    """

    kind: Kind
    target: Tensor
    points: tuple[Tensor, Tensor] | None
    boxes: Tensor | None
    texts: list[str] | None


@dataclass(frozen=True)
class Example:
    """A window (D, H, W) and what is asked of it.

    Attributes
    ----------
    structures
        A name and the mask (D, H, W) of every annotated structure, empty where it is not shown;
        None where the window must not be named.
    """

    image: Tensor
    zoomed_out: bool
    prompts: list[PromptBatch]
    structures: tuple[list[str], Tensor] | None = None


class ExampleSource:
    """Draws examples from one case.

    Parameters
    ----------
    case
        A prepared case.
    window
        The network's window.
    mirror_names
        Whether left and right may be swapped together with the names, which holds for head and
        neck but would put the liver on the left.
    text_weight
        How much more often text is drawn than in the table of kinds.
    foreign_names
        Structures that this case certainly does not show, for empty targets.
    """

    def __init__(
        self,
        case: TrainingCase,
        window: Size3,
        *,
        mirror_names: bool,
        text_weight: float = 1.0,
        foreign_names: Sequence[str] = (),
    ) -> None:
        self.case = case
        self._window = window
        self._mirror_names = mirror_names
        self._text_weight = text_weight
        self._foreign = [spellings(name) for name in foreign_names]
        self._spellings = {name: spellings(name) for name in case.label_values}
        self._name_of = {value: name for name, value in case.label_values.items()}
        self._places = _places(case)

    def draw(
        self, rng: np.random.Generator, *, batches: int, masks: int, strength: Strength
    ) -> Example:
        """A window and ``batches`` kinds of prompts with up to ``masks`` targets each.

        A window in which nothing can be asked for is drawn again.
        """
        while True:
            example = self._draw_once(rng, batches, masks, strength)
            if example.prompts:
                return example

    def _draw_once(
        self, rng: np.random.Generator, batches: int, masks: int, strength: Strength
    ) -> Example:
        zoomed_out = bool(rng.random() < ZOOM_OUT_SHARE)
        shape: Size3 = tuple(self.case.image.shape)  # type: ignore[assignment]
        if zoomed_out:
            geometry = augment.zoom_out_geometry(shape, self._window, strength, rng, _SMALLEST_PART)
        else:
            geometry = augment.zoom_in_geometry(self._centre(rng), self._window, strength, rng)
        image = augment.sample_image(self.case.image, geometry)
        image = augment.change_grey_values(image, rng)
        targets = _Targets(self.case, geometry, self._name_of)
        kinds = self._kinds(zoomed_out, geometry, targets)
        prompts = []
        for _ in range(batches if kinds else 0):
            names = list(kinds)
            weights = np.array([kinds[name] for name in names])
            kind = names[int(rng.choice(len(names), p=weights / weights.sum()))]
            batch = self._batch(kind, targets, geometry, masks, rng)
            if batch is not None:
                prompts.append(batch)
        structures = self._structures(geometry, targets, rng) if "text" in kinds else None
        return Example(image, zoomed_out, prompts, structures)

    def _structures(
        self, geometry: Geometry, targets: _Targets, rng: np.random.Generator
    ) -> tuple[list[str], Tensor] | None:
        names, masks = [], []
        for value, plain_name in self._name_of.items():
            name: str | None = plain_name
            if geometry.flipped[2]:
                name = mirrored(plain_name, self.case.label_values)
            if name is not None:
                names.append(draw_spelling(self._spellings[name], rng))
                masks.append(torch.from_numpy(targets.label_mask(value)))
        for choices in self._foreign:
            names.append(draw_spelling(choices, rng))
            masks.append(torch.zeros(self._window, dtype=torch.bool))
        return (names, torch.stack(masks)) if names else None

    def _kinds(self, zoomed_out: bool, geometry: Geometry, targets: _Targets) -> dict[Kind, float]:
        kinds = dict(_ZOOM_OUT_KINDS if zoomed_out else _ZOOM_IN_KINDS)
        z, y, x = geometry.flipped
        nameless = not self._name_of or z or y or (x and not self._mirror_names)
        for kind in list(kinds):
            if "text" not in kind:
                continue
            if nameless:
                del kinds[kind]
            elif kind == "text":
                kinds[kind] *= self._text_weight
        if not targets.labels and not targets.regions:
            kinds = {kind: share for kind, share in kinds.items() if kind == "text"}
        return kinds

    def _centre(self, rng: np.random.Generator) -> FloatArray:
        """Mostly near a structure, each as often as another; inside the volume like the windows."""
        shape, window = np.array(self.case.image.shape), np.array(self._window)
        if self._places and rng.random() < 0.85:
            place = self._places[int(rng.integers(len(self._places)))]
            centre = place[int(rng.integers(len(place)))] + rng.uniform(-0.35, 0.35, 3) * window
        else:
            centre = rng.uniform(0, 1, 3) * (shape - 1)
        low = np.minimum(window, shape) / 2 - 0.5
        inside: FloatArray = np.clip(centre, low, np.maximum(low, shape - low - 1))
        return inside

    def _batch(
        self,
        kind: Kind,
        targets: _Targets,
        geometry: Geometry,
        masks: int,
        rng: np.random.Generator,
    ) -> PromptBatch | None:
        texts: list[str] | None = None
        chosen: list[BoolArray]
        if "text" in kind:
            named = self._named_targets(kind, targets, geometry, masks, rng)
            texts = [text for text, _ in named]
            chosen = [mask for _, mask in named]
        else:
            chosen = targets.draw(masks, rng, unions="box" in kind)
        if not chosen:
            return None
        points, boxes = None, None
        if "points" in kind:
            click = (
                simulate.simulate_clicks if geometry.nearest else simulate.simulate_clicks_in_window
            )
            points = simulate.stack_points([click(mask, rng) for mask in chosen])
        if "box" in kind:
            draw_box = simulate.simulate_box if geometry.nearest else simulate.simulate_coarse_box
            boxes = torch.from_numpy(np.stack([draw_box(mask, rng) for mask in chosen]))
        target = torch.from_numpy(np.stack(chosen))
        return PromptBatch(kind, target, points, boxes, texts)

    def _named_targets(
        self,
        kind: Kind,
        targets: _Targets,
        geometry: Geometry,
        masks: int,
        rng: np.random.Generator,
    ) -> list[tuple[str, BoolArray]]:
        """Names and their masks; for text alone also names of what the window does not show."""
        values = list(rng.permutation(targets.labels))[:masks]
        if kind == "text":
            absent = [value for value in self._name_of if value not in targets.present]
            values = values[: masks - 1] + list(rng.permutation(absent))[:1]
        named = []
        for value in values:
            name: str | None = self._name_of[int(value)]
            if geometry.flipped[2] and name is not None:
                name = mirrored(name, self.case.label_values)
            if name is not None:
                text = draw_spelling(self._spellings[name], rng)
                named.append((text, targets.label_mask(int(value))))
        if kind == "text" and self._foreign and rng.random() < 0.25:
            other = self._foreign[int(rng.integers(len(self._foreign)))]
            named.append((draw_spelling(other, rng), np.zeros(self._window, dtype=bool)))
        return named


class _Targets:
    """What a window shows: annotated structures, and regions where nothing is annotated."""

    def __init__(self, case: TrainingCase, geometry: Geometry, name_of: dict[int, str]) -> None:
        self._labels: Tensor | None = None
        self.present: list[int] = []
        self.labels: list[int] = []
        regions = augment.sample_regions(case, geometry)
        self._regions = regions
        if case.labels is not None:
            self._labels = augment.sample_labels(case.labels, geometry)
            counts = torch.bincount(self._labels.flatten().long(), minlength=256)
            self.present = [value for value in name_of if counts[value] > 0]
            self.labels = [value for value in name_of if counts[value] >= _MIN_VOXELS]
            # A region that is mostly one of the structures would contradict its label.
            free = regions * (self._labels == 0)
        else:
            free = regions
        total = torch.bincount(regions.flatten().long())
        without = torch.bincount(free.flatten().long(), minlength=len(total))
        large = (total >= 2 * _MIN_VOXELS) & (without > 0.6 * total)
        # Half of a window: a click there could mean anything.
        large &= total < 0.4 * regions.numel()
        self.regions = [int(region) for region in torch.nonzero(large)[:, 0] if region > 0]

    def label_mask(self, value: int) -> BoolArray:
        assert self._labels is not None  # noqa: S101
        return (self._labels == value).numpy()

    def draw(self, masks: int, rng: np.random.Generator, *, unions: bool) -> list[BoolArray]:
        few_labels = len(self.labels) < masks
        region_share = 0.35 if few_labels else 0.15
        region_count = int(rng.binomial(masks, region_share)) if self.labels else masks
        regions = list(rng.permutation(self.regions))[:region_count]
        labels = list(rng.permutation(self.labels))[: masks - len(regions)]
        drawn = []
        for value in labels:
            mask = self.label_mask(int(value))
            if unions and len(self.labels) > 1 and rng.random() < _UNION_SHARE:
                mask = mask | self.label_mask(int(self.labels[int(rng.integers(len(self.labels)))]))
            drawn.append(mask)
        for region in regions:
            mask = augment.smooth_region(self._regions, int(region))
            if mask.sum() >= _MIN_VOXELS:
                drawn.append(mask)
        return drawn


def _places(case: TrainingCase) -> list[FloatArray]:
    """Some voxels (n, 3) of every structure; of every large region where there is none."""
    if case.labels is not None and case.label_values:
        flat = case.labels.flatten().numpy()
        order = np.argsort(flat, kind="stable")
        values, starts = np.unique(flat[order], return_index=True)
        groups = [
            np.unravel_index(group[:: max(1, len(group) // _VOXELS_KEPT)], tuple(case.labels.shape))
            for value, group in zip(values, np.split(order, starts[1:]), strict=True)
            if value != 0
        ]
        return [np.stack(group, axis=1) for group in groups]
    regions = case.regions.regions.numpy()
    scale, offset = np.array(case.regions.scale), np.array(case.regions.offset)
    places = []
    for region in range(2, min(40, int(regions.max()) + 1)):
        inside = np.argwhere(regions == region)
        if len(inside):
            places.append((inside[:: max(1, len(inside) // _VOXELS_KEPT)] - offset) / scale)
    return places
