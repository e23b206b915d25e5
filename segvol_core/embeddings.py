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
from segvol_core.zoom import Window

Precision = Literal["float32", "bfloat16"]

_GPU_BATCH = 4
_GPU_FREE_PER_WINDOW = 2 * 1024**3
"""Memory that encoding one full-size window may take on a GPU, with room to spare."""


class EmbeddingCache:
    """Most recently used embeddings, up to a number of bytes.

    Attributes
    ----------
    full
        Whether an embedding has had to go to make room for another.
    """

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.full = False
        self._embeddings: OrderedDict[Window, Tensor] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._embeddings)

    def __contains__(self, window: Window) -> bool:
        return window in self._embeddings

    @property
    def used_bytes(self) -> int:
        """Bytes of all embeddings held."""
        return self._bytes

    def get(self, window: Window) -> Tensor | None:
        """The embedding, which becomes the most recently used; None if it is not held."""
        if window not in self._embeddings:
            return None
        self._embeddings.move_to_end(window)
        return self._embeddings[window]

    def put(self, window: Window, embedding: Tensor) -> None:
        """Keep an embedding, at the cost of the least recently used ones."""
        size = embedding.numel() * embedding.element_size()
        if size > self.budget_bytes or window in self._embeddings:
            return
        while self._bytes + size > self.budget_bytes:
            self.full = True
            _, oldest = self._embeddings.popitem(last=False)
            self._bytes -= oldest.numel() * oldest.element_size()
        self._embeddings[window] = embedding
        self._bytes += size

    def clear(self) -> None:
        """Forget everything."""
        self._embeddings.clear()
        self._bytes = 0
        self.full = False


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
    """

    def __init__(
        self, model: SegVol, image: Tensor, cache_bytes: int, precision: Precision = "float32"
    ) -> None:
        self.cache = EmbeddingCache(cache_bytes)
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
        size = config.tokens * config.width * torch.float32.itemsize
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
        return embeddings[0]

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
