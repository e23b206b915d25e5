"""DICOM folders are stacked by where their slices lie, or refused with a reason."""

import numpy as np
import pytest
import SimpleITK
from ct_files import OTHER_SERIES, SERIES, write_image, write_series
from geometry_strategies import rotation

from segvol_core.dicom_io import dicom_series
from segvol_core.errors import SegVolWarning, VolumeError
from segvol_core.volume_io import read_volume


@pytest.mark.parametrize(
    "directions", [np.eye(3), rotation((0.3, 0.1, 0)), np.diag((1.0, -1.0, -1.0))]
)
def test_a_dicom_series_is_stacked_by_position(tmp_path, ct_voxels, directions, recwarn):
    volume = read_volume(write_series(tmp_path / "dicom", ct_voxels, directions=directions))
    np.testing.assert_array_equal(volume.voxels, ct_voxels)
    lps_to_ras = np.diag((-1.0, -1.0, 1.0))
    expected = np.eye(4)
    expected[:3, :3] = lps_to_ras @ directions * (0.7, 0.8, 2.5)
    expected[:3, 3] = lps_to_ras @ (10.0, -20.0, 33.0)
    np.testing.assert_allclose(volume.ijk_to_ras, expected, atol=1e-5)
    assert not recwarn.list


def test_a_dicom_series_and_its_nifti_lie_in_the_same_place(tmp_path, ct_voxels):
    folder = write_series(tmp_path / "dicom", ct_voxels, directions=rotation((0.3, 0.1, 0)))
    volume = read_volume(folder)
    copy = read_volume(write_image(tmp_path / "ct.nii", volume.voxels, volume.ijk_to_ras))
    np.testing.assert_allclose(copy.ijk_to_ras, volume.ijk_to_ras, atol=1e-5)


def test_a_tilted_gantry_keeps_every_slice_in_its_place(tmp_path, ct_voxels):
    positions = [np.array((10.0, -20.0, 33.0 + 2.5 * k)) for k in range(len(ct_voxels))]
    turn = rotation((0.3, 0, 0))
    folder = write_series(tmp_path / "dicom", ct_voxels, directions=turn, positions=positions)
    with pytest.warns(SegVolWarning, match="gantry tilt"):
        volume = read_volume(folder)
    first_voxels_ras = volume.ras_of_ijk([(0, 0, k) for k in range(len(ct_voxels))])
    np.testing.assert_allclose(first_voxels_ras, positions * np.array((-1, -1, 1)), atol=1e-5)
    np.testing.assert_array_equal(volume.voxels, ct_voxels)


def test_a_missing_slice_is_pointed_out(tmp_path, ct_voxels):
    folder = write_series(tmp_path / "dicom", ct_voxels)
    (folder / "1-1.dcm").unlink()
    with pytest.warns(SegVolWarning, match=r"unevenly spaced \(2.50 to 5.00 mm\)"):
        assert len(read_volume(folder).voxels) == len(ct_voxels) - 1


def test_rounded_slice_positions_are_not_pointed_out(tmp_path, ct_voxels, recwarn):
    positions = [(10.0, -20.0, round(33 + k * 1.25, 1)) for k in range(len(ct_voxels))]
    positions = [(*p[:2], 33 + k * 1.25 + (-1) ** k * 0.004) for k, p in enumerate(positions)]
    read_volume(write_series(tmp_path / "dicom", ct_voxels, positions=positions))
    assert not recwarn.list


def test_several_phases_in_one_series_are_refused(tmp_path, ct_voxels):
    positions = [(10.0, -20.0, 33 + 2.5 * (k // 2)) for k in range(len(ct_voxels))]
    folder = write_series(tmp_path / "dicom", ct_voxels, positions=positions)
    with pytest.raises(VolumeError, match="several images at the same place"):
        read_volume(folder)


def test_a_scout_among_the_slices_is_refused(tmp_path, ct_voxels):
    folder = write_series(tmp_path / "dicom", ct_voxels)
    scout = write_series(tmp_path / "scout", ct_voxels[:1], directions=rotation((np.pi / 2, 0, 0)))
    (scout / "1-0.dcm").rename(folder / "scout.dcm")
    with pytest.raises(VolumeError, match="different directions"):
        read_volume(folder)


def test_slices_of_different_size_are_refused(tmp_path, ct_voxels):
    folder = write_series(tmp_path / "dicom", ct_voxels)
    small = write_series(tmp_path / "small", ct_voxels[:, :4], positions=[(10.0, -20.0, 60.0)] * 6)
    (small / "1-0.dcm").rename(folder / "small.dcm")
    with pytest.raises(VolumeError, match="differ in size"):
        read_volume(folder)


def test_slices_that_do_not_say_where_they_lie_are_stacked_with_a_warning(tmp_path, ct_voxels):
    folder = write_series(tmp_path / "dicom", ct_voxels)
    for k in range(len(ct_voxels)):
        path = folder / f"1-{(5 * k) % 7}.dcm"
        content = path.read_bytes()
        start = content.index(b"\x20\x00\x32\x00")  # image position
        end = content.index(b"\x28\x00\x02\x00")  # the next group
        path.write_bytes(content[:start] + content[end:])
    with pytest.warns(SegVolWarning, match="do not state where"):
        assert read_volume(folder).shape_kji == ct_voxels.shape


def test_a_damaged_position_of_a_slice_is_refused(tmp_path, ct_voxels):
    folder = write_series(tmp_path / "dicom", ct_voxels)
    path = folder / "1-0.dcm"
    path.write_bytes(path.read_bytes().replace(b"10\\-20\\33", b"10\\-20 33"))
    with pytest.raises(VolumeError, match="damaged"):
        read_volume(folder)


def test_the_largest_of_several_series_is_read_unless_one_is_named(tmp_path, ct_voxels):
    folder = write_series(tmp_path / "dicom", ct_voxels)
    write_series(folder, ct_voxels[:3] // 2, uid=OTHER_SERIES)
    assert dicom_series(folder) == {SERIES: 6, OTHER_SERIES: 3}
    with pytest.warns(SegVolWarning, match="2 DICOM series"):
        np.testing.assert_array_equal(read_volume(folder).voxels, ct_voxels)
    np.testing.assert_array_equal(read_volume(folder, OTHER_SERIES).voxels, ct_voxels[:3] // 2)
    with pytest.raises(VolumeError, match=rf"no DICOM series 1\.2\.3; it has .*{OTHER_SERIES}"):
        read_volume(folder, "1.2.3")


def test_a_warning_about_series_tells_nobody_their_identifiers(tmp_path, ct_voxels):
    folder = write_series(tmp_path / "dicom", ct_voxels, tags={"0010|0010": "Doe^Jane"})
    write_series(folder, ct_voxels[:3], uid=OTHER_SERIES)
    with pytest.warns(SegVolWarning) as caught:
        read_volume(folder)
    text = " ".join(str(warning.message) for warning in caught)
    assert SERIES not in text
    assert "Doe" not in text


def test_a_series_is_not_chosen_in_a_file(tmp_path, ct_voxels):
    path = write_image(tmp_path / "ct.nii.gz", ct_voxels)
    with pytest.raises(VolumeError, match="is a file"):
        read_volume(path, SERIES)


def test_one_slice_of_a_series_asks_for_its_folder(tmp_path, ct_voxels):
    folder = write_series(tmp_path / "dicom", ct_voxels[:1])
    for path in (folder, folder / "1-0.dcm"):
        with pytest.raises(VolumeError, match=r"single slice.*folder"):
            read_volume(path)


def test_a_folder_without_dicom_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(VolumeError, match="no DICOM images"):
        read_volume(tmp_path)


def test_a_dicom_file_of_many_frames_is_read_alone_and_from_its_folder(tmp_path, ct_voxels):
    frames = (ct_voxels + 1000).astype(np.uint16)
    image = SimpleITK.GetImageFromArray(frames)
    image.SetSpacing((0.7, 0.8, 2.5))
    SimpleITK.WriteImage(image, str(tmp_path / "frames.dcm"))
    for path in (tmp_path / "frames.dcm", tmp_path):
        with pytest.warns(SegVolWarning, match="none negative"):
            volume = read_volume(path)
        np.testing.assert_array_equal(volume.voxels, frames)
        np.testing.assert_allclose(volume.spacing_ijk, (0.7, 0.8, 2.5))


def test_itk_says_nothing_about_files(tmp_path, ct_voxels, capfd):
    folder = write_series(tmp_path / "dicom", ct_voxels)
    (folder / "1-1.dcm").unlink()
    with pytest.warns(SegVolWarning):
        read_volume(folder)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(VolumeError):
        read_volume(empty)
    assert capfd.readouterr() == ("", "")
