"""Embeddings of windows: computed once per volume, kept within a memory budget."""

from __future__ import annotations

import contextlib
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import Literal

import torch
from torch import Tensor

from segvol_core.errors import SegVolWarning
from segvol_core.model.segvol import SegVol
from segvol_core.zoom import Placement, Window

Precision = Literal["float32", "bfloat16"]

_GPU_BATCH = 4
_GPU_FREE_PER_WINDOW = 2 * 1024**3
"""Memory that encoding one full-size window may take on a GPU, with room to spare."""
_BLOCK_BYTES = 64 * 1024**2
"""Of embeddings that lie side by side: large enough that the system gives and takes it whole."""


class EmbeddingCache:
    """Most recently used embeddings, up to a number of bytes.

    They lie side by side in large blocks. Allocated one by one between the encoder's own tensors,
    they would leave holes in the process's memory that nothing else fits into.

    Parameters
    ----------
    budget_bytes
        Of all embeddings together.
    kept
        Type in which they are kept; they are given back in single precision.

    Attributes
    ----------
    full
        Whether an embedding has had to go to make room for another.
    """

    def __init__(self, budget_bytes: int, kept: torch.dtype = torch.float32) -> None:
        self.budget_bytes = budget_bytes
        self.kept = kept
        self.full = False
        self._held: OrderedDict[Window, Tensor] = OrderedDict()
        self._unused: list[Tensor] = []
        self._slot_bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, window: Window) -> bool:
        return window in self._held

    @property
    def used_bytes(self) -> int:
        """Bytes of all embeddings held."""
        return len(self) * self._slot_bytes

    def get(self, window: Window) -> Tensor | None:
        """The embedding, which becomes the most recently used; None if it is not held."""
        if window not in self._held:
            return None
        self._held.move_to_end(window)
        return self._held[window].to(torch.float32, copy=True)

    def put(self, window: Window, embedding: Tensor) -> None:
        """Keep an embedding, at the cost of the least recently used ones; all have one shape."""
        self._slot_bytes = embedding.numel() * self.kept.itemsize
        if self._slot_bytes > self.budget_bytes or window in self._held:
            return
        if not self._unused:
            self._unused = self._more_slots(embedding)
        slot = self._unused.pop()
        slot.copy_(embedding)
        self._held[window] = slot

    def clear(self) -> None:
        """Forget everything."""
        self._held.clear()
        self._unused.clear()
        self.full = False

    def _more_slots(self, embedding: Tensor) -> list[Tensor]:
        """A new block's, as far as the budget allows; else that of what was used longest ago."""
        room = self.budget_bytes // self._slot_bytes - len(self)
        if room == 0:
            self.full = True
            _, oldest = self._held.popitem(last=False)
            return [oldest]
        slots = min(room, max(1, _BLOCK_BYTES // self._slot_bytes))
        block = torch.empty((slots, *embedding.shape), dtype=self.kept, device=embedding.device)
        return list(block.unbind())


def kept_type(placement: Placement) -> torch.dtype:
    """Type in which embeddings are kept: half precision takes half the memory.

    It changes masks by a few voxels at their edge, if at all. With ``published`` windows they are
    exact, as those windows are there to give the published masks.
    """
    return torch.float16 if placement == "lattice" else torch.float32


class WindowEncoder:
    """Image encoder on the windows of one image, with a cache.

    Windows are encoded in batches of one fixed size (1 on a CPU), the last one filled up, because
    the size of a batch can change the last bit of a result and the same prompt must give the same
    mask. When a GPU's memory does not suffice, the batch is halved, and at last everything moves to
    the CPU; a :class:`SegVolWarning` says so.

    Parameters
    ----------
    model
        Its device is where the windows are encoded.
    image
        Prepared image (D, H, W) on the CPU.
    cache_bytes
        Memory budget of the cache.
    precision
        ``"bfloat16"`` runs the encoder in half precision; masks may differ at their edge.
    kept
        Type in which embeddings are kept. All are rounded to it, kept or not, so that a mask does
        not depend on what was asked before.
    """

    def __init__(
        self,
        model: SegVol,
        image: Tensor,
        cache_bytes: int,
        precision: Precision = "float32",
        kept: torch.dtype = torch.float32,
    ) -> None:
        self.cache = EmbeddingCache(cache_bytes, kept)
        self._model = model
        self._image = image
        self._precision = precision
        self._batch = self._first_batch()

    @property
    def device(self) -> torch.device:
        """Where the model is now."""
        return self._model.prompt_encoder.no_mask_embed.weight.device

    def holds(self, windows: int) -> bool:
        """Whether the cache has room for the embeddings of so many windows at once."""
        config = self._model.config
        size = config.tokens * config.width * self.cache.kept.itemsize
        return windows * size <= self.cache.budget_bytes

    def embed(self, windows: Sequence[Window]) -> Iterator[tuple[Window, Tensor]]:
        """Embeddings (1, width, d, h, w) of windows, one after the other, in the given order."""
        for position, window in enumerate(windows):
            held = self.cache.get(window)
            if held is None:
                held = self._encode_next(islice(windows, position, None))
            yield window, held

    def embed_image(self, image: Tensor) -> Tensor:
        """Embedding of one image (D, H, W) of the window's size, not kept."""
        return self._encode([image])[0]

    def _encode_next(self, windows: Iterable[Window]) -> Tensor:
        """Encode the first window, together with those after it that will be needed too."""
        missing = (window for window in windows if window not in self.cache)
        batch = list(islice(missing, self._batch))
        embeddings = self._encode([window.cut_from(self._image) for window in batch])
        for window, embedding in zip(batch, embeddings, strict=False):
            self.cache.put(window, embedding)
        return embeddings[0].to(self.cache.kept).float()

    def _encode(self, images: list[Tensor]) -> list[Tensor]:
        filled = images + [images[-1]] * (self._batch - len(images))
        batch = torch.stack(filled[: max(self._batch, len(images))])[:, None]
        try:
            with torch.inference_mode(), self._autocast():
                embedded = self._model.image_encoder(batch.to(self.device)).float()
        except torch.OutOfMemoryError:
            self._make_room()
            return self._encode(images[: self._batch])
        return list(embedded.split(1)[: len(images)])

    def _make_room(self) -> None:
        self.cache.clear()
        if self._batch > 1:
            self._batch //= 2
            message = f"The GPU's memory is short: encoding {self._batch} window(s) at a time."
        else:
            self._model.cpu()
            message = "The GPU's memory does not suffice for one window: going on with the CPU."
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        warnings.warn(message, SegVolWarning, stacklevel=2)

    def _first_batch(self) -> int:
        if self.device.type != "cuda":
            return 1
        free, _ = torch.cuda.mem_get_info(self.device)
        return max(1, min(_GPU_BATCH, free // _GPU_FREE_PER_WINDOW))

    def _autocast(self) -> AbstractContextManager[object]:
        if self._precision == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)
