"""Volumes of any orientation: the same place in the patient, there and back without a loss."""

import subprocess
import sys

import numpy as np
import pytest
from geometry_strategies import SIGNED_PERMUTATIONS, affines, rotation, shapes
from hypothesis import given

from segvol_core.errors import SegVolWarning, VolumeError
from segvol_core.volume import Volume, check_hounsfield, checked_volume, replace_non_finite

IDENTITY = np.eye(4)


def numbered(shape_kji):
    """Voxels that are all different, within the range of a CT."""
    return np.arange(np.prod(shape_kji), dtype=np.int16).reshape(shape_kji) - 1000


@given(affines(shear=True), shapes)
def test_canonical_and_back_gives_the_same_array(affine, shape_kji):
    volume = Volume(numbered(shape_kji), affine)
    canonical = volume.canonical()
    np.testing.assert_array_equal(canonical.restore(canonical.voxels), volume.voxels)


@given(affines(shear=True), shapes)
def test_a_place_in_the_patient_holds_the_same_value_in_both_axes(affine, shape_kji):
    volume = Volume(numbered(shape_kji), affine)
    canonical = volume.canonical()
    zyx = np.indices(canonical.shape_zyx).reshape(3, -1).T
    ras = canonical.ras_of_zyx(zyx)
    ijk = volume.ijk_of_ras(ras)
    np.testing.assert_allclose(ijk, np.rint(ijk), atol=1e-6)
    i, j, k = np.rint(ijk).astype(int).T
    np.testing.assert_array_equal(volume.voxels[k, j, i], canonical.voxels[tuple(zyx.T)])
    np.testing.assert_allclose(canonical.zyx_of_ras(ras), zyx, atol=1e-6)
    np.testing.assert_allclose(volume.ras_of_ijk(ijk), ras, atol=1e-6)


@given(affines(oblique=False), shapes)
def test_upright_volumes_become_exactly_upright(affine, shape_kji):
    canonical = Volume(numbered(shape_kji), affine).canonical()
    directions = canonical.zyx_to_ras[:3, :3] / canonical.spacing_zyx
    np.testing.assert_allclose(directions, np.eye(3)[::-1], atol=1e-12)


@given(affines(shear=True), shapes)
def test_canonical_axes_point_to_s_a_and_r(affine, shape_kji):
    canonical = Volume(numbered(shape_kji), affine).canonical()
    directions = canonical.zyx_to_ras[:3, :3] / canonical.spacing_zyx
    assert directions[2, 0] > 0  # z to S
    assert directions[1, 1] > 0  # y to A
    assert directions[0, 2] > 0  # x to R


@pytest.mark.parametrize(
    "turn", [np.eye(3), rotation((0.2, -0.3, 0.1))], ids=["upright", "oblique"]
)
@pytest.mark.parametrize("axes", SIGNED_PERMUTATIONS)
def test_one_patient_in_any_storage_order_gives_one_canonical_volume(turn, axes):
    stored = Volume(numbered((3, 4, 5)), _affine(turn @ np.diag((0.7, 0.8, 2.5))))
    reordered = _reordered(stored, axes)
    ours, theirs = stored.canonical(), reordered.canonical()
    np.testing.assert_array_equal(ours.voxels, theirs.voxels)
    np.testing.assert_allclose(ours.zyx_to_ras, theirs.zyx_to_ras, atol=1e-9)


def test_there_are_48_orientations_to_test():
    assert len({matrix.tobytes() for matrix in SIGNED_PERMUTATIONS}) == 48


def test_canonical_copies_no_voxels_and_nobody_can_write_into_them():
    voxels = numbered((3, 4, 5))
    volume = Volume(voxels, np.diag((-1.0, -1.0, 1.0, 1.0)))
    canonical = volume.canonical()
    assert np.shares_memory(canonical.voxels, voxels)
    assert np.shares_memory(canonical.restore(canonical.voxels), voxels)
    for array in (volume.voxels, canonical.voxels, volume.ijk_to_ras):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    voxels[0, 0, 0] = 7  # the caller's own array stays writable


def test_spacing_is_the_length_of_each_axis():
    affine = _affine(rotation((0.2, -0.3, 0.4)) @ np.diag((0.7, 0.8, 2.5)))
    volume = Volume(numbered((3, 4, 5)), affine)
    np.testing.assert_allclose(volume.spacing_ijk, (0.7, 0.8, 2.5))
    np.testing.assert_allclose(volume.canonical().spacing_zyx, (2.5, 0.8, 0.7))
    assert volume.shape_kji == (3, 4, 5)


@given(affines(oblique=True), shapes)
def test_a_voxel_is_as_large_as_its_edges_make_it(affine, shape_kji):
    volume = Volume(numbered(shape_kji), affine)
    assert volume.voxel_ml == pytest.approx(np.prod(volume.spacing_ijk) / 1000)


def test_changing_the_matrix_given_does_not_move_the_volume():
    affine = np.eye(4)
    volume = Volume(numbered((3, 4, 5)), affine)
    affine[0, 3] = 100
    np.testing.assert_array_equal(volume.ijk_to_ras, np.eye(4))


@pytest.mark.parametrize(
    ("voxels", "message"),
    [
        (np.zeros((4, 5)), "three dimensions"),
        (np.zeros((2, 3, 4, 5)), "three dimensions"),
        (np.zeros((0, 4, 5)), "empty"),
        (np.zeros((3, 4, 5), dtype=complex), "real numbers"),
        (np.zeros((3, 4, 5), dtype=bool), "real numbers"),
        (np.full((3, 4, 5), "a"), "real numbers"),
    ],
)
def test_what_is_no_volume_is_refused(voxels, message):
    with pytest.raises(VolumeError, match=message):
        Volume(voxels, IDENTITY)


@pytest.mark.parametrize(
    ("affine", "message"),
    [
        (np.eye(3), "4 x 4"),
        (np.full((4, 4), np.nan), "finite"),
        (np.diag((1.0, 1.0, 1.0, 2.0)), "last row"),
        (np.diag((1.0, 0.0, 1.0, 1.0)), "inverted"),
        (np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "inverted"),
    ],
)
def test_a_matrix_that_places_nothing_is_refused(affine, message):
    with pytest.raises(VolumeError, match=message):
        Volume(numbered((3, 4, 5)), affine)


def test_a_mask_of_another_shape_cannot_be_restored():
    canonical = Volume(numbered((3, 4, 5)), IDENTITY).canonical()
    with pytest.raises(VolumeError, match="does not fit"):
        canonical.restore(np.zeros((5, 4, 3), dtype=bool))


def test_a_usual_ct_is_taken_without_a_word(recwarn):
    voxels = numbered((20, 10, 10))
    volume = checked_volume(voxels, IDENTITY)
    np.testing.assert_array_equal(volume.voxels, voxels)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        (0, 255, "picture"),
        (0.0, 1.0, "picture"),
        (0, 4095, "none negative"),
        (-1024, -1, "water"),
        (-3.0, 5.0, "neither air nor bone"),
        (-1e9, 1e9, "far beyond"),
        (-1024, 70000, "far beyond"),
    ],
)
def test_values_that_are_no_hounsfield_units_are_pointed_out_and_kept(low, high, message):
    voxels = np.linspace(low, high, 60).reshape(3, 4, 5)
    with pytest.warns(SegVolWarning, match=message):
        volume = checked_volume(voxels, IDENTITY)
    np.testing.assert_array_equal(volume.voxels, voxels)


@pytest.mark.parametrize(("low", "high"), [(-1024, 3071), (-8192, 30000), (-200, 50), (-50, 1500)])
def test_values_that_ct_scanners_do_give_are_not_pointed_out(low, high):
    assert check_hounsfield(np.array([low, high])) == []


@pytest.mark.parametrize("value", [0, -1024, 1.5])
def test_a_constant_volume_is_refused(value):
    with pytest.raises(VolumeError, match="same value"):
        checked_volume(np.full((3, 4, 5), value), IDENTITY)


def test_a_single_slice_is_refused():
    with pytest.raises(VolumeError, match="single slice"):
        checked_volume(numbered((1, 4, 5)), IDENTITY)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_voxels_without_a_number_become_air_in_a_copy(dtype):
    voxels = numbered((20, 10, 10)).astype(dtype)
    voxels[0, 0, :3] = np.nan, np.inf, -np.inf
    with pytest.warns(SegVolWarning, match="3 voxels"):
        volume = checked_volume(voxels, IDENTITY)
    assert volume.voxels.dtype == dtype
    np.testing.assert_array_equal(volume.voxels[0, 0, :3], -1024)
    np.testing.assert_array_equal(volume.voxels[0, 0, 3:], voxels[0, 0, 3:])
    assert np.isnan(voxels[0, 0, 0])


def test_a_volume_without_any_number_is_refused():
    with pytest.raises(VolumeError, match="No voxel"):
        replace_non_finite(np.full((3, 4, 5), np.nan))


def test_slicer_can_import_volumes_and_prompts_with_numpy_alone():
    code = (
        "import sys, segvol_core.volume, segvol_core.prompts\n"
        "print(sorted({'torch', 'scipy', 'SimpleITK', 'slicerio'} & set(sys.modules)))"
    )
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True
    )
    assert done.stdout.strip() == "[]"


def _affine(linear, origin=(10.0, -20.0, 30.0)):
    affine = np.eye(4)
    affine[:3, :3] = linear
    affine[:3, 3] = origin
    return affine


def _reordered(volume, axes):
    """Store the same patient with the index axes permuted and flipped by a signed permutation."""
    new_to_old = np.eye(4)
    new_to_old[:3, :3] = axes
    size_ijk = np.array(volume.shape_kji[::-1])
    new_to_old[:3, 3] = np.where(axes.sum(axis=1) < 0, size_ijk - 1, 0)
    new_size = np.abs(axes).T @ size_ijk
    new_ijk = np.indices(new_size.astype(int)).reshape(3, -1)
    old_i, old_j, old_k = np.rint(axes @ new_ijk + new_to_old[:3, 3:]).astype(int)
    voxels_ijk = volume.voxels[old_k, old_j, old_i].reshape(new_size.astype(int))
    return Volume(voxels_ijk.transpose(2, 1, 0), volume.ijk_to_ras @ new_to_old)
