"""Of a mask with islands, the largest is kept, and nothing else."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from segvol_core.islands import largest_island

masks = arrays(np.bool_, st.tuples(*[st.integers(1, 7)] * 3))


@given(masks)
def test_the_largest_island_is_one_part_and_no_other_is_larger(mask):
    kept = largest_island(mask)
    assert kept.shape == mask.shape
    assert not (kept & ~mask).any()
    parts, count = ndimage.label(mask)
    sizes = [int((parts == part).sum()) for part in range(1, count + 1)]
    assert ndimage.label(kept)[1] == min(count, 1)
    assert kept.sum() == max(sizes, default=0)


def test_parts_that_touch_by_an_edge_only_are_two():
    mask = np.zeros((1, 2, 3), bool)
    mask[0, 0, :2] = mask[0, 1, 2] = True
    kept = largest_island(mask)
    assert kept.tolist() == [[[True, True, False], [False, False, False]]]


def test_a_mask_that_lies_the_other_way_in_memory_is_read_right():
    mask = np.zeros((3, 4, 5), bool)
    mask[0, 0, 0] = mask[2, 1:3, 4] = True
    turned = mask[::-1].transpose(2, 0, 1)
    assert np.argwhere(largest_island(turned)).tolist() == [[4, 0, 1], [4, 0, 2]]
