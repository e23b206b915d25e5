"""NIfTI says where its voxels lie up to twice, and hides damage: both are found out."""

import struct

import numpy as np
import pytest
import SimpleITK
from ct_files import (
    OBLIQUE,
    write_image,
)

from segvol_core.errors import SegVolWarning, VolumeError
from segvol_core.volume_io import read_volume


def rewrite_nifti(path, qform, sform, matrix=None):
    """Change the codes of qform and sform in a .nii file, and the matrix of the sform."""
    header = bytearray(path.read_bytes())
    struct.pack_into("<hh", header, 252, qform, sform)
    if matrix is not None:
        struct.pack_into("<12f", header, 280, *matrix[:3].ravel())
    path.write_bytes(header)
    return path


def test_a_nifti_that_states_no_orientation_is_read_with_a_warning(tmp_path, ct_voxels):
    path = rewrite_nifti(write_image(tmp_path / "ct.nii", ct_voxels), 0, 0)
    with pytest.warns(SegVolWarning, match="no orientation"):
        read_volume(path)


def test_a_nifti_with_two_orientations_that_differ_is_read_with_a_warning(tmp_path, ct_voxels):
    moved = OBLIQUE.copy()
    moved[0, 3] += 5
    path = rewrite_nifti(write_image(tmp_path / "ct.nii", ct_voxels), 1, 2, moved)
    with pytest.warns(SegVolWarning, match="qform and sform differ"):
        volume = read_volume(path)
    np.testing.assert_allclose(volume.ijk_to_ras, OBLIQUE, atol=1e-5)


def test_a_sheared_nifti_is_refused_unless_it_has_an_upright_orientation_too(tmp_path, ct_voxels):
    sheared = OBLIQUE.copy()
    sheared[:3, 2] += 0.5 * sheared[:3, 1]
    path = rewrite_nifti(write_image(tmp_path / "ct.nii", ct_voxels), 0, 1, sheared)
    with pytest.raises(VolumeError, match="not at right angles"):
        read_volume(path)
    path = rewrite_nifti(write_image(tmp_path / "ct.nii", ct_voxels), 1, 1, sheared)
    with pytest.warns(SegVolWarning, match="qform and sform differ"):
        volume = read_volume(path)
    np.testing.assert_allclose(volume.ijk_to_ras, OBLIQUE, atol=1e-5)


def test_the_same_orientation_stated_twice_is_fine_far_from_the_origin(tmp_path, recwarn):
    affine = OBLIQUE.copy()
    affine[:3, 3] = (-4321.1234, 1234.5678, 3000.9876)
    voxels = np.random.default_rng(0).integers(-1000, 1500, (3, 200, 200)).astype(np.int16)
    read_volume(write_image(tmp_path / "ct.nii.gz", voxels, affine, compress=True))
    assert not recwarn.list


def test_a_nifti_that_is_named_nii_gz_but_not_compressed_is_read(tmp_path, ct_voxels):
    path = write_image(tmp_path / "ct.nii", ct_voxels).rename(tmp_path / "ct.nii.gz")
    np.testing.assert_array_equal(read_volume(path).voxels, ct_voxels)


@pytest.mark.parametrize("suffix", ["hdr", "img"])
def test_a_nifti_in_two_files_is_refused(tmp_path, ct_voxels, suffix):
    write_image(tmp_path / "ct.img", ct_voxels)
    with pytest.raises(VolumeError, match="in two files"):
        read_volume(tmp_path / f"ct.{suffix}")


def test_a_compressed_nifti_with_a_wrong_checksum_is_refused(tmp_path, ct_voxels):
    path = write_image(tmp_path / "ct.nii.gz", ct_voxels, compress=True)
    content = bytearray(path.read_bytes())
    content[-6] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(VolumeError, match="damaged"):
        read_volume(path)


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_voxels_without_a_number_become_air_in_nifti_of_either_byte_order(
    tmp_path, ct_voxels, dtype, byte_order
):
    voxels = ct_voxels.astype(dtype)
    voxels[1, 2, 3], voxels[0, 0, 0] = np.nan, -np.inf
    path = write_image(tmp_path / "ct.nii", voxels)
    if byte_order == ">":
        swap_nifti_bytes(path, voxels)
    with pytest.warns(SegVolWarning, match="2 voxels"):
        read = read_volume(path).voxels
    expected = np.where(np.isfinite(voxels), voxels, -1024)
    np.testing.assert_array_equal(read, expected)


def swap_nifti_bytes(path, voxels):
    """Turn a little-endian .nii into a big-endian one: the fields of the header that matter."""
    little = path.read_bytes()
    big = bytearray(348)
    big[344:348] = little[344:348]
    fields = [(0, "i"), (40, "8h"), (70, "2h"), (76, "8f"), (108, "3f"), (252, "2h"), (256, "18f")]
    for offset, kind in fields:
        struct.pack_into(f">{kind}", big, offset, *struct.unpack_from(f"<{kind}", little, offset))
    big[123] = little[123]
    path.write_bytes(big + bytes(4) + voxels.astype(voxels.dtype.newbyteorder(">")).tobytes())


@pytest.mark.parametrize("suffix", ["nrrd", "nhdr", "mha"])
def test_a_file_converted_from_nifti_is_read_as_what_it_is(tmp_path, ct_voxels, suffix):
    nifti = write_image(tmp_path / "ct.nii.gz", ct_voxels.astype(np.float32))
    image = SimpleITK.ReadImage(str(nifti))
    assert image.HasMetaDataKey("sform_code")  # it keeps them, and writes them into a NRRD
    converted = tmp_path / f"converted.{suffix}"
    SimpleITK.WriteImage(image, str(converted))
    np.testing.assert_array_equal(read_volume(converted).voxels, ct_voxels)
