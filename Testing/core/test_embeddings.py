"""Embeddings kept within a memory budget."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_config import SMALL

from segvol_core import embeddings
from segvol_core.embeddings import EmbeddingCache, WindowEncoder, kept_type
from segvol_core.model.segvol import SegVol
from segvol_core.zoom import Window, lattice_windows

WINDOWS = lattice_windows((24, 32, 32), (8, 32, 32))
ONE = 10 * 4


def embedding_of(window: Window) -> torch.Tensor:
    return torch.full((10,), float(WINDOWS.index(window)))


def test_the_cache_forgets_what_was_used_longest_ago() -> None:
    first, second, third = WINDOWS[:3]
    cache = EmbeddingCache(budget_bytes=2 * ONE)
    for window in (first, second):
        cache.put(window, embedding_of(window))
    assert cache.get(first) is not None
    assert not cache.full
    cache.put(third, embedding_of(third))
    assert (first in cache, second in cache, third in cache) == (True, False, True)
    assert (len(cache), cache.used_bytes, cache.full) == (2, 2 * ONE, True)


def test_an_embedding_that_is_larger_than_the_budget_is_not_kept() -> None:
    cache = EmbeddingCache(budget_bytes=ONE - 1)
    cache.put(WINDOWS[0], embedding_of(WINDOWS[0]))
    assert len(cache) == 0
    assert cache.get(WINDOWS[0]) is None


@given(
    asked=st.lists(st.sampled_from(WINDOWS), max_size=30),
    room=st.integers(1, 6),
    slots_of_a_block=st.integers(1, 4),
)
def test_what_the_cache_gives_back_is_what_was_put_in(
    asked: list[Window], room: int, slots_of_a_block: int
) -> None:
    cache = EmbeddingCache(budget_bytes=room * ONE)
    given_back = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embeddings, "_BLOCK_BYTES", slots_of_a_block * ONE)
        for window in asked:
            held = cache.get(window)
            if held is None:
                cache.put(window, embedding_of(window))
            else:
                given_back.append((window, held))
            assert cache.used_bytes <= room * ONE
    for window, held in given_back:  # also those whose place another has taken since
        torch.testing.assert_close(held, embedding_of(window))


@pytest.mark.parametrize("placement", ["lattice", "published"])
def test_an_embedding_is_the_same_whether_it_was_kept_or_not(placement: str) -> None:
    torch.manual_seed(0)
    model = SegVol(SMALL).eval()
    image = torch.rand(16, 32, 32)
    window = lattice_windows((16, 32, 32), SMALL.window)[0]
    encoder = WindowEncoder(model, image, 10**8, kept=kept_type(placement))  # type: ignore[arg-type]
    ((_, computed),) = encoder.embed([window])
    ((_, kept),) = encoder.embed([window])
    assert torch.equal(computed, kept)
    assert (computed is kept, kept.dtype) == (False, torch.float32)


def test_embeddings_of_lattice_windows_take_half_the_memory() -> None:
    torch.manual_seed(0)
    model = SegVol(SMALL).eval()
    image = torch.rand(16, 32, 32)
    used = {}
    for placement in ("lattice", "published"):
        encoder = WindowEncoder(model, image, 10**8, kept=kept_type(placement))  # type: ignore[arg-type]
        list(encoder.embed(lattice_windows((16, 32, 32), SMALL.window)))
        used[placement] = encoder.cache.used_bytes
    assert used["lattice"] * 2 == used["published"] > 0
