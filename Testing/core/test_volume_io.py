"""Reading CT files as people have them: every format, every orientation, every kind of damage."""

import numpy as np
import pytest
import SimpleITK
from ct_files import CT_CROP, FORMATS, LEFT_HANDED, OBLIQUE, write_image, write_series
from geometry_strategies import affines
from hypothesis import HealthCheck, given, settings

from segvol_core.errors import SegVolWarning, VolumeError
from segvol_core.volume_io import read_volume


@pytest.mark.parametrize("affine", [OBLIQUE, LEFT_HANDED], ids=["oblique", "left-handed"])
@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_gives_voxels_and_place(tmp_path, ct_voxels, suffix, affine):
    volume = read_volume(write_image(tmp_path / f"ct.{suffix}", ct_voxels, affine))
    np.testing.assert_array_equal(volume.voxels, ct_voxels)
    np.testing.assert_allclose(volume.ijk_to_ras, affine, atol=1e-5)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(affine=affines())
def test_any_orientation_is_read_as_written(tmp_path, ct_voxels, affine):
    for suffix, tolerance in (("nii", 1e-3), ("nrrd", 1e-9), ("mha", 1e-9)):
        volume = read_volume(write_image(tmp_path / f"ct.{suffix}", ct_voxels, affine))
        np.testing.assert_allclose(volume.ijk_to_ras, affine, atol=tolerance)


def test_a_sheared_nrrd_keeps_its_shear(tmp_path, ct_voxels):
    affine = OBLIQUE.copy()
    affine[:3, 2] += 0.5 * affine[:3, 1]
    volume = read_volume(write_image(tmp_path / "ct.nrrd", ct_voxels, affine))
    np.testing.assert_allclose(volume.ijk_to_ras, affine, atol=1e-9)


def test_a_real_ct_is_read_without_a_warning(recwarn):
    volume = read_volume(CT_CROP)
    assert not recwarn.list
    assert volume.shape_kji == (32, 48, 48)
    np.testing.assert_allclose(volume.spacing_ijk, 3)
    # The crop was cut round the right kidney and the liver: R is positive in RAS.
    assert volume.ras_of_ijk([(24, 24, 16)])[0, 0] > 0
    assert volume.voxels.min() == -1024
    assert volume.voxels.dtype == np.int16


def test_names_that_are_not_english(tmp_path, ct_voxels):
    folder = tmp_path / "Jürgen Ünï 日本"
    folder.mkdir()
    for suffix in FORMATS:
        volume = read_volume(write_image(folder / f"Schädel é 肝.{suffix}", ct_voxels))
        np.testing.assert_array_equal(volume.voxels, ct_voxels)
    volume = read_volume(write_series(folder / "Sérïe", ct_voxels))
    np.testing.assert_array_equal(volume.voxels, ct_voxels)


@pytest.mark.parametrize("suffix", ["nii.gz", "nrrd", "mha"])
def test_one_time_point_is_a_volume_and_several_are_not(tmp_path, ct_voxels, suffix):
    path = str(tmp_path / f"ct.{suffix}")
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(ct_voxels[np.newaxis], isVector=False), path)
    np.testing.assert_array_equal(read_volume(path).voxels, ct_voxels)
    series = np.stack([ct_voxels, ct_voxels, ct_voxels])
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(series, isVector=False), path)
    with pytest.raises(VolumeError, match="series of 3 volumes"):
        read_volume(path)


def test_five_dimensions_are_refused(tmp_path):
    path = str(tmp_path / "ct.nrrd")
    pixels = np.zeros((2, 2, 3, 4, 5), dtype=np.int16)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(pixels), path)
    with pytest.raises(VolumeError, match="has 5"):
        read_volume(path)


@pytest.mark.parametrize("suffix", ["nii.gz", "nrrd", "mha"])
def test_two_dimensions_and_single_slices_are_refused(tmp_path, ct_voxels, suffix):
    for pixels in (ct_voxels[0], ct_voxels[:1], ct_voxels[:, :1], ct_voxels[:, :, :1]):
        path = str(tmp_path / f"ct.{suffix}")
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(pixels), path)
        with pytest.raises(VolumeError, match="single slice"):
            read_volume(path)


@pytest.mark.parametrize("suffix", ["nii.gz", "nrrd", "mha"])
def test_colours_are_refused(tmp_path, suffix):
    pixels = np.random.default_rng(0).integers(0, 255, (4, 5, 6, 3)).astype(np.uint8)
    path = str(tmp_path / f"ct.{suffix}")
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(pixels, isVector=True), path)
    with pytest.raises(VolumeError, match="several values per voxel"):
        read_volume(path)


def test_complex_numbers_are_refused(tmp_path, ct_voxels):
    path = str(tmp_path / "ct.nii.gz")
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(ct_voxels.astype(np.complex64)), path)
    with pytest.raises(VolumeError, match="complex"):
        read_volume(path)


def test_a_photograph_is_refused(tmp_path):
    path = tmp_path / "photo.png"
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.zeros((5, 6), np.uint8)), str(path))
    with pytest.raises(VolumeError, match="single slice"):
        read_volume(path)


def test_a_constant_volume_is_refused(tmp_path):
    path = write_image(tmp_path / "ct.nii.gz", np.full((4, 5, 6), -1024, np.int16))
    with pytest.raises(VolumeError, match="same value"):
        read_volume(path)


def test_an_mr_is_read_with_a_warning(tmp_path, ct_voxels):
    path = write_image(tmp_path / "mr.nii.gz", ct_voxels + 1000)
    with pytest.warns(SegVolWarning, match="Hounsfield"):
        assert read_volume(path).voxels.min() >= 0


@pytest.mark.parametrize("suffix", ["nii.gz", "nrrd", "mha"])
def test_voxels_without_a_number_become_air(tmp_path, ct_voxels, suffix):
    voxels = ct_voxels.astype(np.float32)
    voxels[1, 2, 3] = np.nan
    path = write_image(tmp_path / f"ct.{suffix}", voxels)
    with pytest.warns(SegVolWarning, match="1 voxels"):
        assert read_volume(path).voxels[1, 2, 3] == -1024


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(VolumeError, match=r"no file or folder .*nothing\.nii\.gz"):
        read_volume(tmp_path / "nothing.nii.gz")


@pytest.mark.parametrize("suffix", [*FORMATS, "dcm", "txt"])
@pytest.mark.parametrize(
    "content", [b"", b"<html><body>404</body></html>", b"\x1f\x8b\x08\x00junk"]
)
def test_what_is_no_image_is_refused(tmp_path, suffix, content):
    path = tmp_path / f"ct.{suffix}"
    path.write_bytes(content)
    with pytest.raises(VolumeError, match=r"ct\..* (is no image|cannot be read)"):
        read_volume(path)


@pytest.mark.parametrize("part", [0.98, 0.5, 0.1])
@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("suffix", ["nii.gz", "nii", "nrrd", "mha"])
def test_a_truncated_file_is_refused(tmp_path, suffix, compress, part):
    voxels = np.random.default_rng(0).integers(-1000, 1500, (20, 30, 40)).astype(np.int16)
    path = write_image(tmp_path / f"ct.{suffix}", voxels, compress=compress)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(VolumeError, match=r"truncated|damaged"):
        read_volume(path)


def test_a_header_of_more_voxels_than_any_memory_holds_is_refused(tmp_path, ct_voxels):
    path = write_image(tmp_path / "ct.nrrd", ct_voxels)
    path.write_bytes(path.read_bytes().replace(b"sizes: 10 8 6", b"sizes: 100000 100000 100000"))
    with pytest.raises(VolumeError, match="too large"):
        read_volume(path)


@pytest.mark.parametrize(("suffix", "data"), [("mhd", "ct.raw"), ("nhdr", "ct.raw")])
def test_a_header_whose_data_are_cut_or_gone_is_refused(tmp_path, ct_voxels, suffix, data):
    path = write_image(tmp_path / f"ct.{suffix}", ct_voxels)
    content = (tmp_path / data).read_bytes()
    (tmp_path / data).write_bytes(content[:100])
    with pytest.raises(VolumeError, match="damaged"):
        read_volume(path)
    (tmp_path / data).unlink()
    with pytest.raises(VolumeError, match="damaged"):
        read_volume(path)


def test_a_damaged_nii_gz_is_refused(tmp_path):
    content = bytearray(CT_CROP.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path = tmp_path / "ct.nii.gz"
    path.write_bytes(content)
    with pytest.raises(VolumeError, match="damaged"):
        read_volume(path)
