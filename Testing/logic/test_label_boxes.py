"""What lies under a result is found whatever its shape."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from SegVolLogic.label_boxes import label_boxes
from SegVolLogic.voxel_change import bounding_slices

shapes = st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 6))


@given(shapes.flatmap(lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 3))))
def test_every_label_is_found_where_it_is(labels):
    found = ndimage.find_objects(labels)
    expected = {n + 1: box for n, box in enumerate(found) if box is not None}
    assert label_boxes(labels) == expected


@given(shapes.flatmap(lambda shape: arrays(np.bool_, shape)))
def test_the_extent_of_a_mask_is_the_smallest_that_holds_it(mask):
    expected = ndimage.find_objects(mask.astype(int))
    assert bounding_slices(mask) == (expected[0] if expected else None)


def test_nothing_is_found_in_nothing():
    assert label_boxes(np.zeros((0, 0, 0), np.uint8)) == {}
    assert bounding_slices(np.zeros((0, 4, 4), bool)) is None
