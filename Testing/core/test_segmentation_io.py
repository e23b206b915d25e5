"""Segments on disk: what 3D Slicer and other programs find in the files, and what errors leave."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import slicerio
from geometry_strategies import affines, rotation
from hypothesis import HealthCheck, given, settings

from segvol_core.errors import SegVolWarning, VolumeError
from segvol_core.itk_images import ijk_to_ras_of
from segvol_core.organs import vocabulary
from segvol_core.segmentation_io import (
    SUFFIXES,
    Segment,
    _layers,
    check_target,
    write_segmentation,
)
from segvol_core.volume import Volume
from segvol_core.volume_io import read_volume

LIVER = (
    "Segmentation category and type - 3D Slicer General Anatomy list"
    "~SCT^123037004^Anatomical Structure~SCT^10200004^Liver~^^"
    "~Anatomic codes - DICOM master list~^^~^^"
)
LEFT_KIDNEY = (
    "Segmentation category and type - 3D Slicer General Anatomy list"
    "~SCT^123037004^Anatomical Structure~SCT^64033007^Kidney~SCT^7771000^Left"
    "~Anatomic codes - DICOM master list~^^~^^"
)
RIGHT_ADRENAL_MASS = (
    "Segmentation category and type - 3D Slicer General Anatomy list"
    "~SCT^49755003^Morphologically Altered Structure~SCT^4147007^Mass~^^"
    "~Anatomic codes - DICOM master list~SCT^23451007^Adrenal gland~SCT^24028007^Right"
)

SHAPE_KJI = (5, 6, 7)
OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = rotation((0.2, -0.3, 0.4)) @ np.diag((0.7, 0.8, 2.5))
OBLIQUE[:3, 3] = (10.0, -20.0, 33.0)
LEFT_HANDED = OBLIQUE @ np.diag((1.0, 1.0, -1.0, 1.0))
SHEARED = OBLIQUE.copy()
SHEARED[:3, 2] += 0.5 * SHEARED[:3, 1]
LPS = np.diag((-1.0, -1.0, 1.0, 1.0))


def volume_at(ijk_to_ras=OBLIQUE):
    return Volume(np.zeros(SHAPE_KJI, dtype=np.int16), ijk_to_ras)


def block(*ranges):
    mask = np.zeros(SHAPE_KJI, dtype=bool)
    mask[tuple(slice(*r) for r in ranges)] = True
    return mask


def apart():
    return [
        Segment("liver", block((0, 2), (1, 4), (2, 5)), (221, 130, 101), LIVER),
        Segment("left kidney", block((3, 5), (0, 2), (0, 3)), (185, 102, 83), LEFT_KIDNEY),
    ]


def overlapping():
    tumour = Segment("tumour", block((1, 4), (0, 6), (3, 4)), (1, 2, 3), RIGHT_ADRENAL_MASS)
    return [*apart(), tumour]


def read_back(path):
    """Names, masks (k, j, i), colours, terminology strings, and ijk_to_ras of a .seg.nrrd."""
    found = slicerio.read_segmentation(str(path))
    masks = [slicerio.segment_mask(found, segment).T for segment in found["segments"]]
    return found["segments"], masks, LPS @ found["ijkToLPS"]


# For Slicer


@pytest.mark.parametrize(
    "affine", [OBLIQUE, LEFT_HANDED, SHEARED], ids=["oblique", "left-handed", "sheared"]
)
@pytest.mark.parametrize("make", [apart, overlapping])
def test_slicer_finds_names_colours_terminology_and_masks_in_place(tmp_path, make, affine):
    segments = make()
    path = tmp_path / "ct.seg.nrrd"
    assert write_segmentation(path, volume_at(affine), segments) == [path]
    found, masks, ijk_to_ras = read_back(path)
    np.testing.assert_allclose(ijk_to_ras, affine, atol=1e-9)
    assert [s["id"] for s in found] == [f"Segment_{n + 1}" for n in range(len(segments))]
    for ours, theirs, mask in zip(segments, found, masks, strict=True):
        assert theirs["name"] == ours.name
        np.testing.assert_allclose(theirs["color"], np.array(ours.colour) / 255, atol=1e-6)
        entry = slicerio.segmentation.terminology_entry_to_string(theirs["terminology"])
        assert entry == ours.terminology
        np.testing.assert_array_equal(mask, ours.mask)
        # Slicer before 5.2 cuts every segment of a layer at the extent of the first.
        assert theirs["extent"] == [0, 6, 0, 5, 0, 4]


def test_segments_that_do_not_overlap_share_one_layer(tmp_path):
    write_segmentation(tmp_path / "apart.seg.nrrd", volume_at(), apart())
    write_segmentation(tmp_path / "overlapping.seg.nrrd", volume_at(), overlapping())
    assert [s["layer"] for s in read_back(tmp_path / "apart.seg.nrrd")[0]] == [0, 0]
    assert [s["layer"] for s in read_back(tmp_path / "overlapping.seg.nrrd")[0]] == [0, 0, 1]


def test_a_segmentation_lies_where_its_ct_lies_for_other_programs_too(tmp_path):
    path = tmp_path / "ct.seg.nrrd"
    write_segmentation(path, volume_at(LEFT_HANDED), apart())
    image = SimpleITK.ReadImage(str(path))
    np.testing.assert_allclose(ijk_to_ras_of(image), LEFT_HANDED, atol=1e-9)
    np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image) == 1, apart()[0].mask)


@pytest.mark.parametrize("name", ["Läber é 肝", "a\\nb", 'x:=y|"z"', "Segment1_Name:=x"])
def test_names_in_any_language_reach_slicer(tmp_path, name):
    segments = [Segment("first", apart()[0].mask), Segment(name, apart()[1].mask)]
    path = tmp_path / "Schädel 肝.seg.nrrd"
    write_segmentation(path, volume_at(), segments)
    image = SimpleITK.ReadImage(str(path))  # reads NRRD headers with the library Slicer uses
    assert image.GetMetaData("Segment0_Name") == "first"
    assert image.GetMetaData("Segment1_Name") == name


def test_every_organ_of_the_vocabulary_reaches_slicer_with_its_codes(tmp_path):
    mask = apart()[0].mask
    organs = vocabulary()
    entries = [None if o.terminology is None else o.terminology.entry() for o in organs]
    segments = [
        Segment(organ.name, mask, organ.color, entry)
        for organ, entry in zip(organs, entries, strict=True)
    ]
    path = tmp_path / "ct.seg.nrrd"
    write_segmentation(path, volume_at(), segments)
    for organ, entry, found in zip(organs, entries, read_back(path)[0], strict=True):
        assert found["name"] == organ.name
        if entry is None:
            assert "terminology" not in found
        else:
            read = slicerio.segmentation.terminology_entry_to_string(found["terminology"])
            assert read == entry


def test_a_segment_without_terminology_has_slicers_colour_for_tissue(tmp_path):
    path = tmp_path / "ct.seg.nrrd"
    write_segmentation(path, volume_at(), [Segment("thing", apart()[0].mask)])
    (found,) = read_back(path)[0]
    assert "terminology" not in found
    np.testing.assert_allclose(found["color"], (0.501961, 0.682353, 0.501961))


def test_an_empty_segment_is_kept(tmp_path):
    segments = [Segment("nothing", np.zeros(SHAPE_KJI, dtype=bool)), *apart()]
    path = tmp_path / "ct.seg.nrrd"
    write_segmentation(path, volume_at(), segments)
    found, masks, _ = read_back(path)
    assert [s["name"] for s in found] == ["nothing", "liver", "left kidney"]
    assert not masks[0].any()


@pytest.mark.parametrize("suffix", [".seg.nrrd", ".nii.gz"])
def test_more_segments_than_a_byte_can_count(tmp_path, suffix):
    volume = Volume(np.zeros((3, 10, 10)), np.eye(4))
    segments = []
    for n in range(300):
        mask = np.zeros((3, 10, 10), dtype=bool)
        mask.flat[n] = True
        segments.append(Segment(f"s{n}", mask))
    path = tmp_path / f"ct{suffix}"
    write_segmentation(path, volume, segments)
    labels = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    np.testing.assert_array_equal(labels.ravel(), np.arange(1, 301))


def test_each_layer_is_free_of_overlaps():
    generator = np.random.default_rng(0)
    segments = [Segment(f"s{n}", generator.random(SHAPE_KJI) > 0.7) for n in range(6)]
    layers, layer_of = _layers(segments)
    for value, (segment, number) in enumerate(zip(segments, layer_of, strict=True), start=1):
        np.testing.assert_array_equal(layers[number] == value, segment.mask)


# Label maps


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
@pytest.mark.parametrize("affine", [OBLIQUE, LEFT_HANDED], ids=["oblique", "left-handed"])
def test_a_label_map_counts_the_segments_in_their_order(tmp_path, suffix, affine):
    path = tmp_path / f"ct{suffix}"
    write_segmentation(path, volume_at(affine), apart())
    image = SimpleITK.ReadImage(str(path))
    labels = SimpleITK.GetArrayFromImage(image)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, apart()[0].mask + 2 * apart()[1].mask)
    np.testing.assert_allclose(ijk_to_ras_of(image), affine, atol=1e-5)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(affine=affines())
def test_every_format_lies_where_the_ct_lies(tmp_path, affine):
    volume = volume_at(affine)
    for suffix in (".nii", ".nrrd", ".mha"):
        path = tmp_path / f"ct{suffix}"
        write_segmentation(path, volume, apart())
        image = SimpleITK.ReadImage(str(path))
        np.testing.assert_allclose(ijk_to_ras_of(image), affine, atol=1e-3)
    write_segmentation(tmp_path / "ct.seg.nrrd", volume, apart())
    np.testing.assert_allclose(read_back(tmp_path / "ct.seg.nrrd")[2], affine, atol=1e-9)


def test_a_segment_of_a_real_ct_is_found_in_the_same_voxels_again(tmp_path):
    ct = read_volume(Path(__file__).parents[1] / "data" / "ct_crop.nii.gz")
    canonical = ct.canonical()
    bone = canonical.restore(canonical.voxels > 300)
    for suffix in SUFFIXES:
        path = tmp_path / f"ct{suffix}"
        write_segmentation(path, ct, [Segment("bone", bone)])
        image = SimpleITK.ReadImage(str(path))
        np.testing.assert_allclose(ijk_to_ras_of(image), ct.ijk_to_ras, atol=1e-4)
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image) == 1, ct.voxels > 300)


def test_where_segments_overlap_the_later_one_wins_and_the_user_is_told(tmp_path):
    path = tmp_path / "ct.nii.gz"
    liver, _, tumour = overlapping()
    both = np.count_nonzero(liver.mask & tumour.mask)
    assert both > 0
    with pytest.warns(SegVolWarning, match="overlap in"):
        write_segmentation(path, volume_at(), [liver, tumour])
    labels = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
    np.testing.assert_array_equal(labels == 2, tumour.mask)
    np.testing.assert_array_equal(labels == 1, liver.mask & ~tumour.mask)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
def test_a_sheared_label_map_keeps_its_shear(tmp_path, suffix):
    path = tmp_path / f"ct{suffix}"
    write_segmentation(path, volume_at(SHEARED), apart())
    np.testing.assert_allclose(ijk_to_ras_of(SimpleITK.ReadImage(str(path))), SHEARED, atol=1e-6)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti_cannot_hold_a_sheared_volume(tmp_path, suffix):
    with pytest.raises(VolumeError, match=r"right angles.*\.seg\.nrrd"):
        write_segmentation(tmp_path / f"ct{suffix}", volume_at(SHEARED), apart())


# One file per segment


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_split_writes_one_file_per_segment(tmp_path, suffix, recwarn):
    paths = write_segmentation(tmp_path / f"ct{suffix}", volume_at(), overlapping(), split=True)
    names = [f"ct_{name}{suffix}" for name in ("liver", "left_kidney", "tumour")]
    assert [p.name for p in paths] == names
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(names)
    for path, segment in zip(paths, overlapping(), strict=True):
        labels = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))
        np.testing.assert_array_equal(labels, segment.mask)
    # Deprecations are for the authors of libraries: Python shows them to no user.
    assert not [each for each in recwarn if not issubclass(each.category, DeprecationWarning)]


def test_split_never_writes_two_segments_into_one_file_nor_outside_the_folder(tmp_path):
    names = ["a/b", "a b", "A_B", "../../etc/passwd", "肝", "???", "...", "x" * 400, "x" * 401]
    segments = [Segment(name, apart()[0].mask) for name in names]
    paths = write_segmentation(tmp_path / "ct.nrrd", volume_at(), segments, split=True)
    assert len({p.name.casefold() for p in paths}) == len(names)
    assert all(p.parent == tmp_path and p.is_file() for p in paths)
    assert [p.name for p in paths][:5] == [
        "ct_a_b.nrrd",
        "ct_a_b_2.nrrd",
        "ct_A_B_3.nrrd",
        "ct_etc_passwd.nrrd",
        "ct_肝.nrrd",
    ]


# Errors


@pytest.mark.parametrize("name", ["ct.dcm", "ct", "ct.nii.zip", "ct.mhd", ".nii.gz", "ct.nhdr"])
def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path, name):
    with pytest.raises(VolumeError, match=r"\.seg\.nrrd, \.nii\.gz, \.nii, \.nrrd, \.mha"):
        check_target(tmp_path / name, volume_at())
    with pytest.raises(VolumeError, match="must end in"):
        write_segmentation(tmp_path / name, volume_at(), apart())
    assert not list(tmp_path.iterdir())


def test_capital_letters_in_the_suffix_are_fine(tmp_path):
    write_segmentation(tmp_path / "CT.NII.GZ", volume_at(), apart())
    write_segmentation(tmp_path / "CT.SEG.NRRD", volume_at(), apart())
    assert read_volume_labels(tmp_path / "CT.NII.GZ") == {0, 1, 2}
    assert len(read_back(tmp_path / "CT.SEG.NRRD")[0]) == 2


def read_volume_labels(path):
    return set(np.unique(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))).tolist())


def test_a_missing_folder_and_a_folder_in_the_way_are_named(tmp_path):
    with pytest.raises(VolumeError, match=r"no folder .*missing"):
        write_segmentation(tmp_path / "missing" / "ct.nii.gz", volume_at(), apart())
    (tmp_path / "ct.nii.gz").mkdir()
    with pytest.raises(VolumeError, match="is a folder"):
        write_segmentation(tmp_path / "ct.nii.gz", volume_at(), apart())
    (tmp_path / "ct_liver.nrrd").mkdir()
    with pytest.raises(VolumeError, match="is a folder"):
        write_segmentation(tmp_path / "ct.nrrd", volume_at(), apart(), split=True)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("split", [False, True])
def test_when_writing_fails_nothing_is_left_and_the_old_file_stays(
    tmp_path, monkeypatch, suffix, split
):
    path = tmp_path / f"ct{suffix}"
    path.write_bytes(b"old")

    def fill_disk_half_way(file, *args, **kwargs):
        name = next(str(a) for a in (file, *args) if not isinstance(a, SimpleITK.Image))
        Path(name).write_bytes(b"half")
        if split and Path(name).name.startswith("0"):
            return
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(slicerio, "write_segmentation", fill_disk_half_way)
    monkeypatch.setattr(SimpleITK, "WriteImage", fill_disk_half_way)
    with pytest.raises(VolumeError, match="No space left on device"):
        write_segmentation(path, volume_at(), apart(), split=split)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == b"old"


def test_an_error_of_the_image_library_is_a_sentence_too(tmp_path, monkeypatch):
    def refuse(*args):
        raise RuntimeError("itkImageFileWriter.hxx:123: something")

    monkeypatch.setattr(SimpleITK, "WriteImage", refuse)
    with pytest.raises(VolumeError, match="image library"):
        write_segmentation(tmp_path / "ct.mha", volume_at(), apart())
    assert not list(tmp_path.iterdir())


def test_writing_again_replaces_the_file(tmp_path):
    path = tmp_path / "ct.nii.gz"
    write_segmentation(path, volume_at(), apart())
    write_segmentation(path, volume_at(), apart()[:1])
    assert read_volume_labels(path) == {0, 1}
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_no_segments_and_masks_of_another_volume_are_refused(tmp_path):
    with pytest.raises(VolumeError, match="no segments"):
        write_segmentation(tmp_path / "ct.nii.gz", volume_at(), [])
    other = Segment("liver", np.zeros((7, 6, 5), dtype=bool))
    with pytest.raises(VolumeError, match=r"mask of liver .*\(7, 6, 5\)"):
        write_segmentation(tmp_path / "ct.nii.gz", volume_at(), [other])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": " "}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"mask": np.zeros((2, 3), dtype=bool)}, "mask"),
        ({"mask": np.zeros(SHAPE_KJI, dtype=np.uint8)}, "mask"),
        ({"colour": (1, 2)}, "colour"),
        ({"colour": (1, 2, 256)}, "colour"),
        ({"terminology": "liver"}, "terminology"),
        ({"terminology": LIVER + "~"}, "terminology"),
        ({"terminology": LIVER.replace("Liver", "Li|ver")}, "terminology"),
        ({"terminology": LIVER.replace("Liver", "Li\nver")}, "terminology"),
        ({"terminology": LIVER.replace("Liver", "Läber")}, "terminology"),
    ],
)
def test_a_segment_that_no_file_can_hold_is_refused(change, message):
    fields = {"name": "liver", "mask": np.zeros(SHAPE_KJI, dtype=bool)} | change
    with pytest.raises(VolumeError, match=message):
        Segment(**fields)
