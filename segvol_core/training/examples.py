"""One training example: a volume zoomed out, a window of it, and prompts with their masks in both.

Training goes the way of inference: the window is given what zooming out makes of the prompt.
"""

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
from segvol_core.training.augmentation import Overview, Positions, Strength
from segvol_core.training.cases import TrainingCase
from segvol_core.training.named_windows import NamedWindow, NamedWindows
from segvol_core.training.names import draw_spelling, mirrored, spellings
from segvol_core.training.published_augmentation import middle_of_crop
from segvol_core.training.targets import Target, TargetPairs, WindowTargets, part_of

FloatArray = npt.NDArray[np.float64]
Kind = Literal["text", "points", "box", "text+points", "text+box", "points+box"]

_KINDS: dict[Kind, float] = {
    "points": 0.30,
    "box": 0.34,
    "text": 0.16,
    "text+points": 0.05,
    "text+box": 0.05,
    "points+box": 0.10,
}
_UNION_SHARE = 0.12
_PART_SHARE = 0.35
_ELSEWHERE_SHARE = 0.1


@dataclass(frozen=True)
class PromptBatch:
    """Prompts of one kind on one window.

    Attributes
    ----------
    overview_target, window_target
        (n, D, H, W) bool.
    overview_points, window_points, overview_boxes, window_boxes, texts
        As the network takes them, n of each; None where the kind has none. The boxes are as drawn,
        and may reach beyond the window.
    """

    kind: Kind
    overview_target: Tensor
    window_target: Tensor
    overview_points: tuple[Tensor, Tensor] | None
    window_points: tuple[Tensor, Tensor] | None
    overview_boxes: Tensor | None
    window_boxes: Tensor | None
    texts: list[str] | None


@dataclass(frozen=True)
class Structures:
    """Names of all annotated structures and their masks (n, D, H, W), empty where not shown."""

    names: list[str]
    overview_masks: Tensor
    window_masks: Tensor


@dataclass(frozen=True)
class Example:
    """A volume and a window of it, both (D, H, W), and what is asked of them.

    Attributes
    ----------
    positions
        Where the window's voxels lie in the overview.
    structures
        None where nothing may be named.
    named
        More windows of the volume, for a name network; none without one, or without names.
    """

    overview: Tensor
    window: Tensor
    positions: Positions
    prompts: list[PromptBatch]
    structures: Structures | None = None
    named: tuple[NamedWindow, ...] = ()


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
    named_windows
        Windows per example for the name network, which sees more of a volume at once; 0 if there is
        none.
    """

    def __init__(
        self,
        case: TrainingCase,
        window: Size3,
        *,
        mirror_names: bool,
        text_weight: float = 1.0,
        foreign_names: Sequence[str] = (),
        named_windows: int = 0,
    ) -> None:
        self.case = case
        self._named_windows = NamedWindows(
            case, mirror_names=mirror_names, foreign_names=foreign_names
        )
        self._named_count = named_windows if case.label_values else 0
        self._window = window
        self._mirror_names = mirror_names
        self._text_weight = text_weight
        self._foreign = [spellings(name) for name in foreign_names]
        self._spellings = {name: spellings(name) for name in case.label_values}
        self._name_of = {value: name for name, value in case.label_values.items()}

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
        shape: Size3 = tuple(self.case.image.shape)  # type: ignore[assignment]
        overview = augment.draw_overview(shape, self._window, strength, rng, strength.smallest_part)
        whole = overview.zoomed_out()
        whole_targets = WindowTargets(self.case, whole)
        middle = self._middle(whole_targets, overview, strength, rng)
        window, positions = overview.zoomed_in(middle)
        targets = TargetPairs(
            whole_targets, WindowTargets(self.case, window), positions, overview.flipped
        )

        seed = int(rng.integers(2**31))
        images = [
            augment.change_grey_values(
                augment.sample_image(self.case.image, geometry),
                np.random.default_rng(seed),
                strength.grey_values,
            )
            for geometry in (whole, window)
        ]
        kinds = self._kinds(targets)
        prompts = []
        for _ in range(batches if kinds else 0):
            names = list(kinds)
            weights = np.array([kinds[name] for name in names])
            kind = names[int(rng.choice(len(names), p=weights / weights.sum()))]
            batch = self._batch(kind, targets, masks, rng)
            if batch is not None:
                prompts.append(batch)
        structures = self._structures(targets, rng) if "text" in kinds else None
        named = [self._named_windows.draw(rng, strength) for _ in range(self._named_count)]
        named = [window for window in named if window.names]
        return Example(images[0], images[1], positions, prompts, structures, tuple(named))

    def _middle(
        self,
        targets: WindowTargets,
        overview: Overview,
        strength: Strength,
        rng: np.random.Generator,
    ) -> FloatArray:
        """Where to zoom in: mostly near a structure, each as often as another."""
        window = np.array(self._window)
        labels = targets.labels(self._name_of, 1)
        if strength.windows == "published":
            image = np.asarray(augment.sample_image(self.case.image, overview.zoomed_out()) > 0)
            masks = [targets.label_mask(value) for value in labels]
            return middle_of_crop(np.any([targets.nothing(), *masks], axis=0), image, rng)
        values = labels or targets.regions()
        middle: FloatArray = rng.uniform(0, 1, 3) * (window - 1)
        if values and rng.random() < 0.85:
            value = values[int(rng.integers(len(values)))]
            mask = targets.label_mask(value) if labels else targets.region_mask(value)
            if mask.any():
                near = rng.uniform(-0.35, 0.35, 3) * window / overview.step
                middle = simulate.random_voxel(mask, rng) + near
        return middle

    def _kinds(self, targets: TargetPairs) -> dict[Kind, float]:
        kinds = dict(_KINDS)
        z, y, x = targets.flipped
        nameless = not self._name_of or z or y or (x and not self._mirror_names)
        for kind in list(kinds):
            if "text" not in kind:
                continue
            if nameless:
                del kinds[kind]
            elif kind == "text":
                kinds[kind] *= self._text_weight
        if not targets.labels(self._name_of) and not targets.regions():
            kinds = {kind: share for kind, share in kinds.items() if kind == "text"}
        return kinds

    def _batch(
        self,
        kind: Kind,
        targets: TargetPairs,
        masks: int,
        rng: np.random.Generator,
    ) -> PromptBatch | None:
        texts: list[str] | None = None
        if "text" in kind:
            named = self._named_targets(kind, targets, masks, rng)
            texts = [text for text, _ in named]
            chosen = [target for _, target in named]
        else:
            chosen = self._nameless_targets(targets, masks, rng, unions="box" in kind)
        if not chosen:
            return None
        overview_points, window_points, overview_boxes, window_boxes = None, None, None, None
        if "points" in kind:
            clicks = [
                simulate.simulate_clicks(*target, targets.positions, rng) for target in chosen
            ]
            overview_points = simulate.stack_points([out for out, _ in clicks])
            window_points = simulate.stack_points([inside for _, inside in clicks])
        if "box" in kind:
            drawn = [simulate.simulate_box(*target, targets.positions, rng) for target in chosen]
            overview_boxes, window_boxes = (
                torch.from_numpy(np.stack(sides)) for sides in zip(*drawn, strict=True)
            )
        whole_target, window_target = (
            torch.from_numpy(np.stack(m)) for m in zip(*chosen, strict=True)
        )
        return PromptBatch(
            kind=kind,
            overview_target=whole_target,
            window_target=window_target,
            overview_points=overview_points,
            window_points=window_points,
            overview_boxes=overview_boxes,
            window_boxes=window_boxes,
            texts=texts,
        )

    def _nameless_targets(
        self, targets: TargetPairs, masks: int, rng: np.random.Generator, *, unions: bool
    ) -> list[Target]:
        labels = targets.labels(self._name_of)
        region_share = 0.35 if len(labels) < masks else 0.15
        region_count = int(rng.binomial(masks, region_share)) if labels else masks
        regions = list(rng.permutation(targets.regions()))[:region_count]
        values = self._values(targets, labels, masks - len(regions), rng)
        drawn = []
        for value in values:
            target = targets.label(value)
            if unions and len(labels) > 1 and rng.random() < _UNION_SHARE:
                other = targets.label(labels[int(rng.integers(len(labels)))])
                target = target[0] | other[0], target[1] | other[1]
            drawn.append(target)
        for region in regions:
            shown = targets.region(int(region))
            if shown is not None and rng.random() < _PART_SHARE:
                shown = part_of(shown, targets.positions, rng)
            if shown is not None:
                drawn.append(shown)
        return drawn

    def _values(
        self, targets: TargetPairs, labels: Sequence[int], masks: int, rng: np.random.Generator
    ) -> list[int]:
        """Structures that the window shows, and now and then one that it does not."""
        values = [int(value) for value in rng.permutation(labels)][: max(masks, 0)]
        elsewhere = targets.elsewhere(self._name_of)
        if values and elsewhere and rng.random() < _ELSEWHERE_SHARE * masks:
            values[-1] = int(elsewhere[int(rng.integers(len(elsewhere)))])
        return values

    def _named_targets(
        self,
        kind: Kind,
        targets: TargetPairs,
        masks: int,
        rng: np.random.Generator,
    ) -> list[tuple[str, Target]]:
        """Names and their masks; for text alone also names of what the volume does not show."""
        values = self._values(targets, targets.labels(self._name_of), masks, rng)
        if kind == "text":
            absent = targets.absent(self._name_of)
            values = values[: masks - 1] + [int(value) for value in rng.permutation(absent)][:1]
        named = []
        for value in values:
            name = self._name(value, targets)
            if name is not None:
                text = draw_spelling(self._spellings[name], rng)
                named.append((text, targets.label(value)))
        if kind == "text" and self._foreign and rng.random() < 0.25:
            other = self._foreign[int(rng.integers(len(self._foreign)))]
            named.append((draw_spelling(other, rng), targets.nothing()))
        return named

    def _structures(self, targets: TargetPairs, rng: np.random.Generator) -> Structures | None:
        names, masks = [], []
        for value in self._name_of:
            name = self._name(value, targets)
            if name is not None:
                names.append(draw_spelling(self._spellings[name], rng))
                masks.append(targets.label(value))
        for choices in self._foreign:
            names.append(draw_spelling(choices, rng))
            masks.append(targets.nothing())
        if not names:
            return None
        whole, window = (torch.from_numpy(np.stack(each)) for each in zip(*masks, strict=True))
        return Structures(names, whole, window)

    def _name(self, value: int, targets: TargetPairs) -> str | None:
        """What a label is called here; None if what is shown is its mirror image without a name."""
        name = self._name_of[value]
        return mirrored(name, self.case.label_values) if targets.flipped[2] else name
