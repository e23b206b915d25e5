"""Orientations for hypothesis: all 48 ways to lie along the axes, and oblique, sheared ones."""

import itertools

import numpy as np
from hypothesis import strategies as st

SIGNED_PERMUTATIONS = [
    np.eye(3)[list(order)] * signs
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]

orientations = st.sampled_from(SIGNED_PERMUTATIONS)
spacings = st.tuples(*[st.floats(0.3, 6.0) for _ in range(3)]).map(np.array)
origins = st.tuples(*[st.floats(-500, 500) for _ in range(3)]).map(np.array)
shapes = st.tuples(*[st.integers(2, 7) for _ in range(3)])


def rotation(angles):
    """Rotation by three angles in radians round R, A and S."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        i, j = (n for n in range(3) if n != axis)
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


rotations = st.tuples(*[st.floats(-0.5, 0.5) for _ in range(3)]).map(rotation)


@st.composite
def affines(draw, oblique=True, shear=False):
    """4 x 4 matrices to RAS; with `shear`, of a gantry tilted by up to 25 degrees."""
    axes = draw(orientations)
    if shear:
        tilt = np.eye(3)
        tilt[1, 2] = np.tan(draw(st.floats(-0.43, 0.43)))
        axes = tilt @ axes
    if oblique:
        axes = draw(rotations) @ axes
    affine = np.eye(4)
    affine[:3, :3] = axes * draw(spacings)
    affine[:3, 3] = draw(origins)
    return affine
