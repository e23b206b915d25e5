"""Zoom-out-zoom-in (paper, section 3.4): prompts on a prepared image to logits on that image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

import torch
from torch import Tensor

from segvol_core import zoom
from segvol_core.embeddings import WindowEncoder
from segvol_core.meant_parts import leave_out_small_parts
from segvol_core.model.config import Size3
from segvol_core.model.segvol import SegVol
from segvol_core.name_answers import NameAnswers, spread
from segvol_core.preprocessing import zoom_out
from segvol_core.region_answers import RegionAnswer, RegionAnswers, hear_also
from segvol_core.window_prompts import Plan, Planner, WindowPrompt
from segvol_core.zoom import ImagePrompt, Placement, Window


class Stage(Enum):
    """What a step of the inference brings."""

    COARSE = "coarse"
    PROGRESS = "progress"
    FINAL = "final"
    NAMED = "named"


@dataclass(frozen=True)
class Step:
    """One step of :meth:`ZoomOutZoomIn.run`.

    Attributes
    ----------
    stage
        Coarse and final steps carry logits, progress does not. Masks are named by the session.
    index
        Which of the prompts; 0 for progress, which is common to all.
    fraction
        Part of the windows that are done, 0 to 1.
    logits
        (D, H, W) on the prepared image.
    found
        False when zoom-out found nothing, so that there was nothing to zoom in on, and for an empty
        mask that needed no windows.
    """

    stage: Stage
    index: int
    fraction: float
    logits: Tensor | None = None
    found: bool = True


@dataclass
class _Focus:
    """What one prompt needs of zoom-in, and what has come of it so far.

    Logits are kept at the low resolution at which the network gives them: twenty prompts on a large
    CT would else hold gigabytes.

    Attributes
    ----------
    coarse
        Logits of zooming out, or the cells of a name network if ``named``; None for a prompt that
        needs neither.
    plan
        None if there is nothing to zoom in on.
    in_region
        Looks of a region network, beside the windows or in their place, which go on as long as they
        are asked for; and the latest.
    """

    coarse: Tensor | None
    text_embedding: Tensor | None = None
    plan: Plan | None = None
    in_region: tuple[Iterator[RegionAnswer], RegionAnswer] | None = None
    named: bool = False
    low_resolution: dict[Window, Tensor] = field(default_factory=dict)

    @property
    def found(self) -> bool:
        """Whether there is anything to look closer at."""
        return self.named or self.plan is not None or self.in_region is not None

    @property
    def prompts(self) -> dict[Window, WindowPrompt]:
        """What is asked in each window."""
        return {} if self.plan is None else self.plan.prompts


class ZoomOutZoomIn:
    """The procedure on one image.

    Parameters
    ----------
    model
        In evaluation mode.
    image
        Prepared image (D, H, W).
    encoder
        Embeddings of the image's windows.
    placement
        ``"lattice"`` or ``"published"`` windows.
    """

    def __init__(
        self, model: SegVol, image: Tensor, encoder: WindowEncoder, placement: Placement
    ) -> None:
        self._model = model
        self._encoder = encoder
        self._image = image
        self._window: Size3 = model.config.window
        self._shape: Size3 = (image.shape[0], image.shape[1], image.shape[2])
        self._planner = Planner(model.config, self._shape, placement)
        self._zoomed_out = zoom_out(image, self._window)
        self._region_answers: RegionAnswers | None = None
        if model.region_network is not None:
            self._region_answers = RegionAnswers(
                model.region_network, image, self._window, encoder.device
            )
        self.name_answers: NameAnswers | None = None
        """Where a network with a name network finds texts, without windows."""
        if model.name_network is not None:
            self.name_answers = NameAnswers(model.name_network, image, encoder.device)
        self._overview: Tensor | None = None
        self._text_embeddings: dict[str, Tensor] = {}

    def look_at_whole(self) -> Tensor:
        """Embedding of the whole image in one window, which every prompt begins with."""
        if self._overview is None:
            self._overview = self._encoder.embed_image(self._zoomed_out)
        return self._overview

    @property
    def answers_in_windows(self) -> bool:
        """Whether most prompts are: without a region network, or a name network, all of a kind."""
        return self._region_answers is None or self.name_answers is None

    def all_windows(self) -> list[Window]:
        """Every lattice window of the image, for encoding ahead."""
        return zoom.lattice_windows(self._shape, self._window)

    @property
    def window_size(self) -> Size3:
        """Voxels (z, y, x) of every window."""
        return self._window

    def window_of(self, mask: Tensor) -> Window:
        """The lattice window that shows most of a mask (D, H, W) on the image."""
        return max(self.all_windows(), key=lambda window: int(mask[window.content.slices].sum()))

    def look_for(self, texts: Sequence[str], window: Window) -> tuple[Tensor, Tensor]:
        """Logits (n, D, H, W) of texts in the whole image zoomed out, and in one window of it."""
        vectors = torch.cat([self.embed_text(text) for text in texts])
        whole_prompt = WindowPrompt(None, None)
        whole = self._model.upscale(
            self._decode(self._zoomed_out, self.look_at_whole(), whole_prompt, vectors)
        )[:, 0]
        coarse = [self._planner.coarse_in(window, self._expand(logits)) for logits in whole]
        known = [logits for logits in coarse if logits is not None]
        prompt = WindowPrompt(None, None, torch.cat(known) if known else None)
        ((_, embedding),) = self._encoder.embed([window])
        here = self._decode(window.cut_from(self._image), embedding, prompt, vectors)
        return whole, self._model.upscale(here)[:, 0]

    def run(self, prompts: Sequence[ImagePrompt]) -> Iterator[Step]:
        """Coarse logits of each prompt, progress over all windows, final logits of each prompt.

        Each window is encoded at most once for all prompts. Stopping the iteration cancels; what
        has been encoded is kept. Prompts are decoded one by one, so that a mask does not depend on
        its company.
        """
        focuses: list[_Focus] = []
        for index, prompt in enumerate(prompts):
            focus, logits = self._look(prompt)
            focuses.append(focus)
            step = [Step(Stage.COARSE, index, 0.0, logits, focus.found)]
            del logits
            yield step.pop()

        groups = self._groups(focuses)
        total = sum(len(_windows_of(focuses, group)) for group in groups)
        done = 0
        for group in groups:
            waiting = set(group)
            for window, embedding in self._encoder.embed(_windows_of(focuses, group)):
                for focus in (focuses[index] for index in group):
                    if window in focus.prompts:
                        focus.low_resolution[window] = self._decode(
                            window.cut_from(self._image),
                            embedding,
                            focus.prompts[window],
                            focus.text_embedding,
                        )
                done += 1
                yield Step(Stage.PROGRESS, 0, done / total)
                for index in sorted(waiting):
                    if len(focuses[index].low_resolution) == len(focuses[index].prompts):
                        waiting.remove(index)
                        yield self._finish(index, focuses[index], done / total)
            for index in sorted(waiting):
                yield self._finish(index, focuses[index], 1.0)

    def _groups(self, focuses: list[_Focus]) -> list[list[int]]:
        """Which prompts zoom in together.

        One after the other where the cache holds the windows of all of them: what a prompt needs is
        freed before the next one, and its final mask comes before the next one is begun. Together
        where it does not, so that no window is encoded twice.
        """
        everyone = list(range(len(focuses)))
        if self._encoder.holds(len(_windows_of(focuses, everyone))):
            return [[index] for index in everyone]
        return [everyone]

    # -- Zoom-out --------------------------------------------------------------------------------

    def _look(self, prompt: ImagePrompt) -> tuple[_Focus, Tensor]:
        """Coarse mask of a prompt, and where to zoom in for it.

        Boxes and clicks alone need no zooming out where a region network answers them.
        """
        in_region = None
        if self._region_answers is not None and self._region_answers.can_answer(prompt):
            looks = self._region_answers.looks(prompt)
            first = next(looks)
            # Round a click, windows may be better than a network that has learnt little.
            if first.sure:
                in_region = looks, first
        if in_region is not None and prompt.text is None:
            return _Focus(None, in_region=in_region), self._of_region(in_region[1])
        vector = None if prompt.text is None else self.embed_text(prompt.text)
        cells = self._found_by_name(vector)
        if cells is not None:
            focus = _Focus(cells, in_region=in_region, named=True)
            return focus, self._coarse_logits(focus)
        focus = _Focus(self._zoom_out(prompt, vector), vector, in_region=in_region)
        logits = self._coarse_logits(focus)
        focus.plan = self._planner.plan(prompt, logits)
        return focus, logits

    def _found_by_name(self, vector: Tensor | None) -> Tensor | None:
        """Cells of a name network that finds something; then nothing is looked for in windows."""
        if self.name_answers is None or vector is None:
            return None
        cells = self.name_answers.cells(vector)
        return cells if (cells > 0).any() else None

    def _zoom_out(self, prompt: ImagePrompt, vector: Tensor | None) -> Tensor:
        """Low-resolution logits of the whole image in one window."""
        box = prompt.box and zoom.zoom_out_box(prompt.box, self._shape, self._window)
        points = None
        if len(prompt.points):
            points = zoom.zoom_out_points(prompt, self._shape, self._window)
        return self._decode(
            self._zoomed_out, self.look_at_whole(), WindowPrompt(points, box), vector
        )

    def _coarse_logits(self, focus: _Focus) -> Tensor:
        """What was found at first, at the image's shape."""
        if focus.coarse is None:
            return torch.full(self._shape, zoom.OUTSIDE_LOGIT)
        if focus.named:
            return spread(focus.coarse, self._shape)[0]
        return self._expand(self._upscale(focus.coarse))

    # -- Zoom-in ---------------------------------------------------------------------------------

    def _finish(self, index: int, focus: _Focus, fraction: float) -> Step:
        """What the windows say, the region network, or both."""
        answer = None
        if focus.in_region is not None:
            looks, first = focus.in_region
            *_, answer = first, *looks
        if focus.coarse is None and answer is not None:
            logits = self._of_region(answer)
        else:
            logits = self._refined(focus) if focus.named else self._zoomed_in(focus)
            if answer is not None:
                hear_also(logits, answer)
        found = focus.plan is not None or (focus.found and bool((logits > 0).any()))
        return Step(Stage.FINAL, index, fraction, logits, found)

    def _of_region(self, answer: RegionAnswer) -> Tensor:
        """An answer at the image's shape."""
        logits = torch.full(self._shape, zoom.OUTSIDE_LOGIT)
        logits[answer.part.slices] = answer.logits
        return logits

    def _refined(self, focus: _Focus) -> Tensor:
        """What the region network makes of what a name network has found."""
        coarse = self._coarse_logits(focus)
        answers = self._region_answers
        refined = None if answers is None else answers.refined(coarse)
        logits = coarse if refined is None else self._of_region(refined)
        leave_out_small_parts(logits)
        return logits

    def _zoomed_in(self, focus: _Focus) -> Tensor:
        """Zoom-in logits, averaged where windows overlap, over zoom-out logits elsewhere."""
        logits = self._coarse_logits(focus)
        if focus.plan is not None:
            parts = {
                window: window.content.clipped_to(focus.plan.region)
                for window in focus.low_resolution
            }
            # In place, and counted plane by plane: a tensor of a large CT's size is 140 MB.
            for part in parts.values():
                logits[part.slices] = 0
            for window, part in parts.items():
                shown = part.relative_to(window.extent.low).slices
                logits[part.slices] += self._upscale(focus.low_resolution[window])[shown]
            for z, plane in enumerate(logits):
                count = torch.zeros_like(plane)
                for _, y, x in (p.slices for p in parts.values() if p.low[0] <= z < p.high[0]):
                    count[y, x] += 1
                plane.div_(count.clamp(min=1))
            focus.low_resolution.clear()
        return logits

    # -- Network ---------------------------------------------------------------------------------

    def embed_text(self, text: str) -> Tensor:
        """Embedding (1, width) of a text, which is kept."""
        if text not in self._text_embeddings:
            with torch.inference_mode():
                self._text_embeddings[text] = self._model.text_encoder([text])
        return self._text_embeddings[text].to(self._encoder.device)

    def _decode(
        self,
        image: Tensor,
        embedding: Tensor,
        prompt: WindowPrompt,
        text_embedding: Tensor | None,
    ) -> Tensor:
        device = self._encoder.device
        points = prompt.points
        with torch.inference_mode():
            logits = self._model.decode(
                embedding.to(device),
                points=None if points is None else (points[0].to(device), points[1].to(device)),
                boxes=None if prompt.box is None else prompt.box.to(device),
                text_embedding=None if text_embedding is None else text_embedding.to(device),
                coarse=None if prompt.coarse is None else prompt.coarse.to(device),
                drawn_boxes=None if prompt.drawn_box is None else prompt.drawn_box.to(device),
                image=image[None].to(device),
            )
        return logits.cpu()

    def _expand(self, coarse: Tensor) -> Tensor:
        """Zoom-out logits at the image's shape."""
        if self._model.prompt_priors is None:
            return zoom.expand_zoomed_out(coarse, self._shape)
        return zoom.interpolate_zoomed_out(coarse, self._shape)

    def _upscale(self, low_resolution: Tensor) -> Tensor:
        with torch.inference_mode():
            return self._model.upscale(low_resolution)[0, 0]


def _windows_of(focuses: list[_Focus], group: list[int]) -> list[Window]:
    """All windows of some prompts, in one order whatever the prompts are."""
    return sorted(
        {window for index in group for window in focuses[index].prompts},
        key=lambda window: (window.extent.low, window.content.low, window.content.high),
    )
