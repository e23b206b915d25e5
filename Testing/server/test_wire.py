"""Masks survive the wire, whatever their shape, place and layout in memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segvol_core.errors import SegVolError
from segvol_core.wire import crop_mask, pack_mask, unpack_mask

sizes = st.tuples(*[st.integers(1, 9)] * 3)


@st.composite
def masks(draw: st.DrawFn) -> np.ndarray:
    """Masks as the core gives them: views, flipped and with their axes in another order."""
    shape = draw(sizes)
    mask = np.zeros(shape, dtype=bool)
    voxels = draw(st.lists(st.tuples(*[st.integers(0, n - 1) for n in shape]), max_size=6))
    for voxel in voxels:
        mask[voxel] = True
    flips = tuple(slice(None, None, draw(st.sampled_from([1, -1]))) for _ in range(3))
    return mask[flips].transpose(draw(st.permutations(range(3))))


@given(masks())
def test_a_mask_comes_back_as_it_was(mask: np.ndarray) -> None:
    cropped = unpack_mask(pack_mask(mask))
    assert np.array_equal(cropped.whole(), mask)
    assert cropped.shape_kji == mask.shape


@given(masks())
def test_the_extent_is_the_smallest(mask: np.ndarray) -> None:
    cropped = crop_mask(mask)
    voxels = np.argwhere(mask)
    if len(voxels):
        assert cropped.low_kji == tuple(voxels.min(axis=0))
        assert cropped.voxels.shape == tuple(np.ptp(voxels, axis=0) + 1)
    else:
        assert cropped.voxels.size == 0


def test_a_small_mask_in_a_large_volume_is_a_small_message() -> None:
    mask = np.zeros((300, 200, 200), dtype=bool)
    mask[100:120, 50:90, 60:100] = True
    assert len(pack_mask(mask)) == 44 + 20 * 40 * 40 // 8


@given(masks(), st.data())
def test_a_damaged_message_is_refused_and_not_taken_for_a_mask(
    mask: np.ndarray, data: st.DataObject
) -> None:
    packed = pack_mask(mask)
    shorter = packed[: data.draw(st.integers(0, len(packed) - 1))]
    for wrong in (shorter, packed + b"\0", b"X" + packed[1:], packed[:4] + b"\7" + packed[5:]):
        with pytest.raises(SegVolError, match="The server sent a mask"):
            unpack_mask(wrong)


def test_an_extent_beyond_the_volume_is_refused() -> None:
    packed = bytearray(pack_mask(np.ones((2, 2, 2), dtype=bool)))
    packed[20] = 1  # The extent begins at k = 1 now, and is still two voxels thick.
    with pytest.raises(SegVolError, match="does not fit"):
        unpack_mask(bytes(packed))
