"""Packed masks are the masks that were packed, wherever they are cut."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from SegVolLogic.packed_mask import PackedMask, PlanesWithin
from SegVolLogic.voxel_change import VoxelChange, bounding_slices

shapes = st.tuples(*[st.integers(1, 20)] * 3)
seeds = st.integers(0, 1000)


def some_mask(shape, seed):
    """A mask of between no voxel and all of them."""
    chance = np.random.default_rng(seed)
    return chance.random(shape) < chance.choice([0.0, 0.002, 0.1, 1.0])


masks = st.builds(some_mask, shapes, seeds)
indices = st.tuples(*[st.integers(-6, 6)] * 3)


def on_extent(mask, start, extent):
    """The same by going through all voxels."""
    low, high = extent
    whole = np.zeros([max(0, b - a) for a, b in zip(low, high, strict=True)], bool)
    for place in np.argwhere(mask):
        there = place + start - low
        if (there >= 0).all() and (there < whole.shape).all():
            whole[tuple(there)] = True
    return whole


@given(masks, indices, indices, indices)
def test_a_mask_is_packed_on_any_extent(mask, start, low, size):
    extent = low, tuple(a + abs(n) for a, n in zip(low, size, strict=True))
    packed = PackedMask.of(PlanesWithin(mask, start, extent))
    expected = on_extent(mask, start, extent)
    np.testing.assert_array_equal(packed.mask, expected)
    assert packed.box() == bounding_slices(expected)
    assert packed.any == expected.any()
    for k, plane in enumerate(expected):
        found = packed.rows(k)
        assert (found is None) == (not plane.any())
        if found is not None:
            rows, marked = found
            np.testing.assert_array_equal(marked, plane[rows])
            assert marked.sum() == plane.sum()


@given(masks, st.data())
def test_a_part_is_what_lies_there_also_when_it_is_cut_again(mask, data):
    packed = PackedMask.of(
        PlanesWithin(mask, (3, 4, 5), ((3, 4, 5), np.add(mask.shape, (3, 4, 5))))
    )
    for _ in range(2):
        ends = [sorted(data.draw(st.tuples(*[st.integers(0, n)] * 2))) for n in packed.shape_kji]
        box = tuple(slice(a, b) for a, b in ends)
        expected = packed.mask[box]
        packed = packed.cropped(box)
        np.testing.assert_array_equal(packed.mask, expected)
        assert packed.box() == bounding_slices(expected)


@given(shapes, seeds, seeds)
def test_a_change_adds_and_removes_what_differs(shape, first, second):
    before, after = some_mask(shape, first), some_mask(shape, second)
    extent = (0, 0, 0), before.shape
    pair = [PlanesWithin(each, (0, 0, 0), extent) for each in (before, after)]
    change = VoxelChange.between("a", *pair)
    if change is None:
        np.testing.assert_array_equal(before, after)
        return
    place = tuple(slice(a, b) for a, b in zip(change.start_kji, change.stop_kji, strict=True))
    made = before.copy()
    made[place] |= change.added.mask
    made[place] &= ~change.removed.mask
    np.testing.assert_array_equal(made, after)
    assert change.added.mask.sum() == (after & ~before).sum()
    assert change.removed.mask.sum() == (before & ~after).sum()
