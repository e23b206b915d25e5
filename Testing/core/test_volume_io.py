"""Reading CT files as people have them: every format, every orientation, every kind of damage."""

import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from geometry_strategies import affines, rotation
from hypothesis import HealthCheck, given, settings

from segvol_core.dicom_io import dicom_series
from segvol_core.errors import SegVolWarning, VolumeError
from segvol_core.itk_images import place_image
from segvol_core.volume_io import read_volume

FORMATS = ("nii.gz", "nii", "nrrd", "nhdr", "mha", "mhd")
UPRIGHT = np.eye(3)
OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = rotation((0.2, -0.3, 0.4)) @ np.diag((0.7, 0.8, 2.5))
OBLIQUE[:3, 3] = (10.0, -20.0, 33.0)
LEFT_HANDED = OBLIQUE @ np.diag((1.0, 1.0, -1.0, 1.0))
CT_CROP = Path(__file__).parents[1] / "data" / "ct_crop.nii.gz"

SERIES = "1.2.826.0.1.3680043.2.1125.1"
OTHER_SERIES = "1.2.826.0.1.3680043.2.1125.2"


@pytest.fixture
def ct():
    """Voxels (k, j, i) over the range of a CT, all rows and slices different."""
    return np.random.default_rng(0).integers(-1000, 1500, (6, 8, 10)).astype(np.int16)


def write_image(path, voxels, ijk_to_ras=OBLIQUE, compress=False):
    image = SimpleITK.GetImageFromArray(voxels)
    place_image(image, ijk_to_ras)
    SimpleITK.WriteImage(image, str(path), compress)
    return path


def write_series(folder, voxels, *, directions=UPRIGHT, positions=None, uid=SERIES, tags=None):
    """Write one DICOM file per slice (LPS), in an order that the file names do not give."""
    folder.mkdir(exist_ok=True)
    if positions is None:
        positions = [np.array((10.0, -20.0, 33.0)) + directions[:, 2] * 2.5 * k for k in range(20)]
    writer = SimpleITK.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k, pixels in enumerate(voxels):
        image = SimpleITK.GetImageFromArray(pixels)
        image.SetSpacing((0.7, 0.8))
        values = {
            "0008|0060": "CT",
            "0008|0018": f"{uid}.{k + 1}",
            "0020|000d": f"{SERIES}.9",
            "0020|000e": uid,
            "0020|0013": str(k + 1),
            "0020|0032": "\\".join(f"{value:.6f}" for value in positions[k]),
            "0020|0037": "\\".join(f"{value:.9f}" for value in directions[:, :2].T.ravel()),
            "0028|1052": "-1024",
            "0028|1053": "1",
        }
        for tag, value in (values | (tags or {})).items():
            image.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{uid[-1]}-{(5 * k) % 7}.dcm"))
        writer.Execute(image)
    return folder


# Files


@pytest.mark.parametrize("affine", [OBLIQUE, LEFT_HANDED], ids=["oblique", "left-handed"])
@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_gives_voxels_and_place(tmp_path, ct, suffix, affine):
    volume = read_volume(write_image(tmp_path / f"ct.{suffix}", ct, affine))
    np.testing.assert_array_equal(volume.voxels, ct)
    np.testing.assert_allclose(volume.ijk_to_ras, affine, atol=1e-5)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(affine=affines())
def test_any_orientation_is_read_as_written(tmp_path, ct, affine):
    for suffix, tolerance in (("nii", 1e-3), ("nrrd", 1e-9), ("mha", 1e-9)):
        volume = read_volume(write_image(tmp_path / f"ct.{suffix}", ct, affine))
        np.testing.assert_allclose(volume.ijk_to_ras, affine, atol=tolerance)


def test_a_sheared_nrrd_keeps_its_shear(tmp_path, ct):
    affine = OBLIQUE.copy()
    affine[:3, 2] += 0.5 * affine[:3, 1]
    volume = read_volume(write_image(tmp_path / "ct.nrrd", ct, affine))
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


def test_names_that_are_not_english(tmp_path, ct):
    folder = tmp_path / "Jürgen Ünï 日本"
    folder.mkdir()
    for suffix in FORMATS:
        volume = read_volume(write_image(folder / f"Schädel é 肝.{suffix}", ct))
        np.testing.assert_array_equal(volume.voxels, ct)
    volume = read_volume(write_series(folder / "Sérïe", ct))
    np.testing.assert_array_equal(volume.voxels, ct)


@pytest.mark.parametrize("suffix", ["nii.gz", "nrrd", "mha"])
def test_one_time_point_is_a_volume_and_several_are_not(tmp_path, ct, suffix):
    path = str(tmp_path / f"ct.{suffix}")
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(ct[np.newaxis], isVector=False), path)
    np.testing.assert_array_equal(read_volume(path).voxels, ct)
    series = np.stack([ct, ct, ct])
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
def test_two_dimensions_and_single_slices_are_refused(tmp_path, ct, suffix):
    for pixels in (ct[0], ct[:1], ct[:, :1], ct[:, :, :1]):
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


def test_complex_numbers_are_refused(tmp_path, ct):
    path = str(tmp_path / "ct.nii.gz")
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(ct.astype(np.complex64)), path)
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


def test_an_mr_is_read_with_a_warning(tmp_path, ct):
    path = write_image(tmp_path / "mr.nii.gz", ct + 1000)
    with pytest.warns(SegVolWarning, match="Hounsfield"):
        assert read_volume(path).voxels.min() >= 0


@pytest.mark.parametrize("suffix", ["nii.gz", "nrrd", "mha"])
def test_voxels_without_a_number_become_air(tmp_path, ct, suffix):
    voxels = ct.astype(np.float32)
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


def test_a_header_of_more_voxels_than_any_memory_holds_is_refused(tmp_path, ct):
    path = write_image(tmp_path / "ct.nrrd", ct)
    path.write_bytes(path.read_bytes().replace(b"sizes: 10 8 6", b"sizes: 100000 100000 100000"))
    with pytest.raises(VolumeError, match="too large"):
        read_volume(path)


@pytest.mark.parametrize(("suffix", "data"), [("mhd", "ct.raw"), ("nhdr", "ct.raw")])
def test_a_header_whose_data_are_cut_or_gone_is_refused(tmp_path, ct, suffix, data):
    path = write_image(tmp_path / f"ct.{suffix}", ct)
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


# NIfTI states its orientation up to twice


def rewrite_nifti(path, qform, sform, matrix=None):
    """Change the codes of qform and sform in a .nii file, and the matrix of the sform."""
    header = bytearray(path.read_bytes())
    struct.pack_into("<hh", header, 252, qform, sform)
    if matrix is not None:
        struct.pack_into("<12f", header, 280, *matrix[:3].ravel())
    path.write_bytes(header)
    return path


def test_a_nifti_that_states_no_orientation_is_read_with_a_warning(tmp_path, ct):
    path = rewrite_nifti(write_image(tmp_path / "ct.nii", ct), 0, 0)
    with pytest.warns(SegVolWarning, match="no orientation"):
        read_volume(path)


def test_a_nifti_with_two_orientations_that_differ_is_read_with_a_warning(tmp_path, ct):
    moved = OBLIQUE.copy()
    moved[0, 3] += 5
    path = rewrite_nifti(write_image(tmp_path / "ct.nii", ct), 1, 2, moved)
    with pytest.warns(SegVolWarning, match="qform and sform differ"):
        volume = read_volume(path)
    np.testing.assert_allclose(volume.ijk_to_ras, OBLIQUE, atol=1e-5)


def test_a_sheared_nifti_is_refused_unless_it_has_an_upright_orientation_too(tmp_path, ct):
    sheared = OBLIQUE.copy()
    sheared[:3, 2] += 0.5 * sheared[:3, 1]
    path = rewrite_nifti(write_image(tmp_path / "ct.nii", ct), 0, 1, sheared)
    with pytest.raises(VolumeError, match="not at right angles"):
        read_volume(path)
    path = rewrite_nifti(write_image(tmp_path / "ct.nii", ct), 1, 1, sheared)
    with pytest.warns(SegVolWarning, match="qform and sform differ"):
        volume = read_volume(path)
    np.testing.assert_allclose(volume.ijk_to_ras, OBLIQUE, atol=1e-5)


def test_the_same_orientation_stated_twice_is_fine_far_from_the_origin(tmp_path, recwarn):
    affine = OBLIQUE.copy()
    affine[:3, 3] = (-4321.1234, 1234.5678, 3000.9876)
    voxels = np.random.default_rng(0).integers(-1000, 1500, (3, 200, 200)).astype(np.int16)
    read_volume(write_image(tmp_path / "ct.nii.gz", voxels, affine, compress=True))
    assert not recwarn.list


def test_a_nifti_that_is_named_nii_gz_but_not_compressed_is_read(tmp_path, ct):
    path = write_image(tmp_path / "ct.nii", ct).rename(tmp_path / "ct.nii.gz")
    np.testing.assert_array_equal(read_volume(path).voxels, ct)


@pytest.mark.parametrize("suffix", ["hdr", "img"])
def test_a_nifti_in_two_files_is_refused(tmp_path, ct, suffix):
    write_image(tmp_path / "ct.img", ct)
    with pytest.raises(VolumeError, match="in two files"):
        read_volume(tmp_path / f"ct.{suffix}")


def test_a_compressed_nifti_with_a_wrong_checksum_is_refused(tmp_path, ct):
    path = write_image(tmp_path / "ct.nii.gz", ct, compress=True)
    content = bytearray(path.read_bytes())
    content[-6] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(VolumeError, match="damaged"):
        read_volume(path)


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_voxels_without_a_number_become_air_in_nifti_of_either_byte_order(
    tmp_path, ct, dtype, byte_order
):
    voxels = ct.astype(dtype)
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


# DICOM


@pytest.mark.parametrize(
    "directions", [np.eye(3), rotation((0.3, 0.1, 0)), np.diag((1.0, -1.0, -1.0))]
)
def test_a_dicom_series_is_stacked_by_position(tmp_path, ct, directions, recwarn):
    volume = read_volume(write_series(tmp_path / "dicom", ct, directions=directions))
    np.testing.assert_array_equal(volume.voxels, ct)
    lps_to_ras = np.diag((-1.0, -1.0, 1.0))
    expected = np.eye(4)
    expected[:3, :3] = lps_to_ras @ directions * (0.7, 0.8, 2.5)
    expected[:3, 3] = lps_to_ras @ (10.0, -20.0, 33.0)
    np.testing.assert_allclose(volume.ijk_to_ras, expected, atol=1e-5)
    assert not recwarn.list


def test_a_dicom_series_and_its_nifti_lie_in_the_same_place(tmp_path, ct):
    folder = write_series(tmp_path / "dicom", ct, directions=rotation((0.3, 0.1, 0)))
    volume = read_volume(folder)
    copy = read_volume(write_image(tmp_path / "ct.nii", volume.voxels, volume.ijk_to_ras))
    np.testing.assert_allclose(copy.ijk_to_ras, volume.ijk_to_ras, atol=1e-5)


def test_a_tilted_gantry_keeps_every_slice_in_its_place(tmp_path, ct):
    positions = [np.array((10.0, -20.0, 33.0 + 2.5 * k)) for k in range(len(ct))]
    turn = rotation((0.3, 0, 0))
    folder = write_series(tmp_path / "dicom", ct, directions=turn, positions=positions)
    with pytest.warns(SegVolWarning, match="gantry tilt"):
        volume = read_volume(folder)
    first_voxels_ras = volume.ras_of_ijk([(0, 0, k) for k in range(len(ct))])
    np.testing.assert_allclose(first_voxels_ras, positions * np.array((-1, -1, 1)), atol=1e-5)
    np.testing.assert_array_equal(volume.voxels, ct)


def test_a_missing_slice_is_pointed_out(tmp_path, ct):
    folder = write_series(tmp_path / "dicom", ct)
    (folder / "1-1.dcm").unlink()
    with pytest.warns(SegVolWarning, match=r"unevenly spaced \(2.50 to 5.00 mm\)"):
        assert len(read_volume(folder).voxels) == len(ct) - 1


def test_rounded_slice_positions_are_not_pointed_out(tmp_path, ct, recwarn):
    positions = [(10.0, -20.0, round(33 + k * 1.25, 1)) for k in range(len(ct))]
    positions = [(*p[:2], 33 + k * 1.25 + (-1) ** k * 0.004) for k, p in enumerate(positions)]
    read_volume(write_series(tmp_path / "dicom", ct, positions=positions))
    assert not recwarn.list


def test_several_phases_in_one_series_are_refused(tmp_path, ct):
    positions = [(10.0, -20.0, 33 + 2.5 * (k // 2)) for k in range(len(ct))]
    folder = write_series(tmp_path / "dicom", ct, positions=positions)
    with pytest.raises(VolumeError, match="several images at the same place"):
        read_volume(folder)


def test_a_scout_among_the_slices_is_refused(tmp_path, ct):
    folder = write_series(tmp_path / "dicom", ct)
    scout = write_series(tmp_path / "scout", ct[:1], directions=rotation((np.pi / 2, 0, 0)))
    (scout / "1-0.dcm").rename(folder / "scout.dcm")
    with pytest.raises(VolumeError, match="different directions"):
        read_volume(folder)


def test_slices_of_different_size_are_refused(tmp_path, ct):
    folder = write_series(tmp_path / "dicom", ct)
    small = write_series(tmp_path / "small", ct[:, :4], positions=[(10.0, -20.0, 60.0)] * 6)
    (small / "1-0.dcm").rename(folder / "small.dcm")
    with pytest.raises(VolumeError, match="differ in size"):
        read_volume(folder)


def test_slices_that_do_not_say_where_they_lie_are_stacked_with_a_warning(tmp_path, ct):
    folder = write_series(tmp_path / "dicom", ct)
    for k in range(len(ct)):
        path = folder / f"1-{(5 * k) % 7}.dcm"
        content = path.read_bytes()
        start = content.index(b"\x20\x00\x32\x00")  # image position
        end = content.index(b"\x28\x00\x02\x00")  # the next group
        path.write_bytes(content[:start] + content[end:])
    with pytest.warns(SegVolWarning, match="do not state where"):
        assert read_volume(folder).shape_kji == ct.shape


def test_a_damaged_position_of_a_slice_is_refused(tmp_path, ct):
    folder = write_series(tmp_path / "dicom", ct)
    path = folder / "1-0.dcm"
    path.write_bytes(path.read_bytes().replace(b"10\\-20\\33", b"10\\-20 33"))
    with pytest.raises(VolumeError, match="damaged"):
        read_volume(folder)


def test_the_largest_of_several_series_is_read_unless_one_is_named(tmp_path, ct):
    folder = write_series(tmp_path / "dicom", ct)
    write_series(folder, ct[:3] // 2, uid=OTHER_SERIES)
    assert dicom_series(folder) == {SERIES: 6, OTHER_SERIES: 3}
    with pytest.warns(SegVolWarning, match="2 DICOM series"):
        np.testing.assert_array_equal(read_volume(folder).voxels, ct)
    np.testing.assert_array_equal(read_volume(folder, OTHER_SERIES).voxels, ct[:3] // 2)
    with pytest.raises(VolumeError, match=rf"no DICOM series 1\.2\.3; it has .*{OTHER_SERIES}"):
        read_volume(folder, "1.2.3")


def test_a_warning_about_series_tells_nobody_their_identifiers(tmp_path, ct):
    folder = write_series(tmp_path / "dicom", ct, tags={"0010|0010": "Doe^Jane"})
    write_series(folder, ct[:3], uid=OTHER_SERIES)
    with pytest.warns(SegVolWarning) as caught:
        read_volume(folder)
    text = " ".join(str(warning.message) for warning in caught)
    assert SERIES not in text
    assert "Doe" not in text


def test_a_series_is_not_chosen_in_a_file(tmp_path, ct):
    path = write_image(tmp_path / "ct.nii.gz", ct)
    with pytest.raises(VolumeError, match="is a file"):
        read_volume(path, SERIES)


def test_one_slice_of_a_series_asks_for_its_folder(tmp_path, ct):
    folder = write_series(tmp_path / "dicom", ct[:1])
    for path in (folder, folder / "1-0.dcm"):
        with pytest.raises(VolumeError, match=r"single slice.*folder"):
            read_volume(path)


def test_a_folder_without_dicom_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(VolumeError, match="no DICOM images"):
        read_volume(tmp_path)


def test_a_dicom_file_of_many_frames_is_read_alone_and_from_its_folder(tmp_path, ct):
    frames = (ct + 1000).astype(np.uint16)
    image = SimpleITK.GetImageFromArray(frames)
    image.SetSpacing((0.7, 0.8, 2.5))
    SimpleITK.WriteImage(image, str(tmp_path / "frames.dcm"))
    for path in (tmp_path / "frames.dcm", tmp_path):
        with pytest.warns(SegVolWarning, match="none negative"):
            volume = read_volume(path)
        np.testing.assert_array_equal(volume.voxels, frames)
        np.testing.assert_allclose(volume.spacing_ijk, (0.7, 0.8, 2.5))


def test_itk_says_nothing_about_files(tmp_path, ct, capfd):
    folder = write_series(tmp_path / "dicom", ct)
    (folder / "1-1.dcm").unlink()
    with pytest.warns(SegVolWarning):
        read_volume(folder)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(VolumeError):
        read_volume(empty)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", ["nrrd", "nhdr", "mha"])
def test_a_file_converted_from_nifti_is_read_as_what_it_is(tmp_path, ct, suffix):
    nifti = write_image(tmp_path / "ct.nii.gz", ct.astype(np.float32))
    image = SimpleITK.ReadImage(str(nifti))
    assert image.HasMetaDataKey("sform_code")  # it keeps them, and writes them into a NRRD
    converted = tmp_path / f"converted.{suffix}"
    SimpleITK.WriteImage(image, str(converted))
    np.testing.assert_array_equal(read_volume(converted).voxels, ct)
