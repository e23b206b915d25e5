"""A volume being segmented: everything computed once, and prompts answered from it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from segvol_core.embeddings import Precision, WindowEncoder, kept_type
from segvol_core.errors import VolumeError
from segvol_core.inference import Stage, Step, ZoomOutZoomIn
from segvol_core.model.segvol import SegVol
from segvol_core.naming import Naming, known_organs, name_in_steps
from segvol_core.preprocessing import prepare
from segvol_core.prompts import Prompts, VoxelPrompts, place
from segvol_core.volume import Volume
from segvol_core.zoom import ImagePrompt, Placement

DEFAULT_CACHE_BYTES = 1024**3
"""Room for 340 windows of the published model, which is a CT of 512 x 512 x 600."""

NOTHING_FOUND = "Nothing was found in the whole volume: try another prompt."


@dataclass(frozen=True, eq=False)
class Update:
    """News of a segmentation under way.

    Attributes
    ----------
    stage
        ``COARSE`` (a mask from zoom-out, at once), ``PROGRESS``, ``FINAL``, and ``NAMED`` after
        it where names were asked for.
    index
        Which of the prompts the mask answers.
    fraction
        Part of the work that is done, 0 to 1.
    mask
        (k, j, i) on the volume's own voxels; None for progress.
    message
        A sentence for the user, or None.
    names
        Organs that the final mask could show, the most probable first; none for an empty mask.
    """

    stage: Stage
    index: int
    fraction: float
    mask: npt.NDArray[np.bool_] | None = None
    message: str | None = None
    names: tuple[Naming, ...] = ()


class Session:
    """Answers prompts on one volume.

    The volume is prepared at once, windows are encoded when a prompt first needs them, and their
    embeddings are kept within a memory budget. The same prompts give the same mask, bit for bit,
    whatever was asked before.

    Parameters
    ----------
    model
        In evaluation mode, on the device to work on.
    volume
        Any orientation.
    windows
        ``"lattice"`` shares embeddings between prompts; ``"published"`` places windows as the
        paper's code does.
    cache_bytes
        Memory budget of the embeddings.
    precision
        ``"bfloat16"`` encodes in half precision: faster, with masks that may differ at their edge.

    Raises
    ------
    VolumeError
        If all voxels of the volume are equal.
    """

    def __init__(
        self,
        model: SegVol,
        volume: Volume,
        *,
        windows: Placement = "lattice",
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        precision: Precision = "float32",
    ) -> None:
        self._config = model.config
        self._canonical = volume.canonical()
        z, y, x = (float(mm) for mm in self._canonical.spacing_zyx)
        self._prepared = prepare(self._canonical.voxels, (z, y, x), model.config)
        self._encoder = WindowEncoder(
            model, self._prepared.image, cache_bytes, precision, kept_type(windows)
        )
        self._zoom = ZoomOutZoomIn(model, self._prepared.image, self._encoder, windows)

    def segment(self, prompts: Prompts) -> Iterator[Update]:
        """Coarse mask, progress, final mask. Stopping the iteration is cancelling.

        Raises
        ------
        PromptError
            If a point or the whole box lies outside the volume; nothing has been computed then.
        """
        return self.segment_many([prompts])

    def segment_many(
        self, prompts: Sequence[Prompts], to_name: Collection[int] = ()
    ) -> Iterator[Update]:
        """As :meth:`segment` for several segments, encoding each window once for all of them.

        All coarse masks come first; final masks come as soon as their windows are done; then names
        for the masks of those prompts whose indices are in ``to_name``.
        """
        placed = [self._on_image(place(each, self._canonical)) for each in prompts]
        return self._updates(placed, to_name)

    def mask(self, prompts: Prompts) -> npt.NDArray[np.bool_]:
        """The final mask (k, j, i) alone."""
        *_, final = self.segment(prompts)
        if final.mask is None:
            raise AssertionError("the last update of a segmentation carries its mask")
        return final.mask

    def encode_ahead(self) -> Iterator[float]:
        """Encode the rest of the volume window by window, while the user looks for a click.

        Yields the fraction done. Ends early when the memory budget is full, and soon where few
        prompts need windows.
        """
        if self._zoom.name_answers is not None:
            self._zoom.name_answers.look()
        if not self._zoom.answers_in_windows:
            yield 1.0
            return
        self._zoom.look_at_whole()
        windows = self._zoom.all_windows()
        missing = [window for window in windows if window not in self._encoder.cache]
        for done, _ in enumerate(self._encoder.embed(missing)):
            yield 1 - (len(missing) - done - 1) / len(windows)
            if self._encoder.cache.full:
                return

    def identify(self, mask: npt.NDArray[np.bool_]) -> list[Naming]:
        """Names of the organs that the network knows, the one that fits a mask best first.

        Parameters
        ----------
        mask
            (k, j, i) on the volume's own voxels.

        Raises
        ------
        VolumeError
            If the mask has another shape than the volume, or is empty.
        """
        if not mask.any():
            raise VolumeError("An empty segment cannot be named.")
        *_, namings = self._name(mask)
        return namings or []

    def _name(self, mask: npt.NDArray[np.bool_]) -> Iterator[list[Naming] | None]:
        on_image = self._prepared.sample_mask(self._canonical.adopt(mask))
        return name_in_steps(self._zoom, on_image, known_organs(self._config))

    def _updates(self, placed: list[ImagePrompt], to_name: Collection[int]) -> Iterator[Update]:
        masks: dict[int, npt.NDArray[np.bool_]] = {}
        for step in self._zoom.run(placed):
            update = [self._update(step)]
            # Whoever waits between two updates should not hold the logits of a whole volume.
            del step
            mask = update[0].mask
            if update[0].stage is Stage.FINAL and update[0].index in to_name and mask is not None:
                masks[update[0].index] = mask
            del mask
            yield update.pop()
        for index, mask in masks.items():
            namings = None
            for namings in self._name(mask) if mask.any() else ():
                if namings is None:
                    yield Update(Stage.PROGRESS, 0, 1.0)
            yield Update(Stage.NAMED, index, 1.0, names=tuple(namings or ()))

    def _update(self, step: Step) -> Update:
        mask = None
        if step.logits is not None:
            mask = self._canonical.restore(self._prepared.restore(step.logits))
        message = None if step.found else NOTHING_FOUND
        return Update(step.stage, step.index, step.fraction, mask, message)

    def _on_image(self, prompts: VoxelPrompts) -> ImagePrompt:
        """Prompts on the prepared image; what its cropping cut off moves to its edge."""
        last = np.array(self._prepared.image.shape) - 1
        points = np.rint(self._prepared.image_index(prompts.points_zyx)).clip(0, last)
        box = None
        if prompts.box_zyx is not None:
            # The outer faces of the box's voxels, so that a box keeps its size when resampled.
            faces = prompts.box_zyx.reshape(2, 3) + np.array([[-0.5], [0.5]])
            low, high = self._prepared.image_index(faces) + np.array([[0.5], [-0.5]])
            low = np.rint(low).clip(0, last)
            high = np.maximum(np.rint(high).clip(0, last), low)
            box = (_voxel(low), _voxel(high))
        return ImagePrompt(
            torch.from_numpy(points.astype(np.int64)),
            torch.from_numpy(prompts.labels),
            box,
            prompts.text,
        )


def _voxel(index: npt.NDArray[np.float64]) -> tuple[int, int, int]:
    z, y, x = (int(value) for value in index)
    return z, y, x
