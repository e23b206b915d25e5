"""Another program's masks, in whatever files it wrote them, are scored like ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from segvol_core.errors import SegVolError
from segvol_core.evaluation.cases import LabelledCase
from segvol_core.evaluation.label_prompts import PromptKind
from segvol_core.evaluation.peer_masks import find_masks, score_masks
from segvol_core.evaluation.scoring import Score
from segvol_core.evaluation.structures import Structure
from segvol_core.segmentation_io import Segment, write_segmentation
from segvol_core.training.data.records import CaseRecord
from segvol_core.volume import Volume

SPACING = (2.0, 2.0, 3.0)
VALUES = {"liver": 1, "kidney_left": 2, "kidney_right": 3, "heart": 9}
KIDNEYS = Structure("kidneys", ("kidney_left", "kidney_right"))
LIVER, LEFT, RIGHT, HEART = (
    Structure(name, (name,)) for name in ("liver", "kidney_left", "kidney_right", "heart")
)


def labels() -> np.ndarray:
    voxels = np.zeros((10, 20, 20), dtype=np.uint8)
    voxels[2:8, 2:10, 2:10] = 1
    voxels[2:6, 12:17, 2:7] = 2
    voxels[2:6, 12:17, 12:17] = 3
    return voxels


def theirs() -> np.ndarray:
    """A slice of the liver is missing, and the right kidney has not been found."""
    voxels = labels()
    voxels[2][voxels[2] == 1] = 0
    voxels[voxels == 3] = 0
    return voxels


@pytest.fixture
def case() -> LabelledCase:
    hounsfield = np.random.default_rng(0).normal(-200, 300, labels().shape).astype(np.int16)
    volume = Volume(hounsfield, np.diag([-2.0, -2.0, 3.0, 1.0]))
    values = {name: (value,) for name, value in VALUES.items()}
    return LabelledCase("case7", volume, labels(), values)


def write(path: Path, voxels_kji: np.ndarray, orientation: str = "LPS") -> None:
    path.parent.mkdir(exist_ok=True)
    image = SimpleITK.GetImageFromArray(voxels_kji)
    image.SetSpacing(SPACING)
    SimpleITK.WriteImage(SimpleITK.DICOMOrient(image, orientation), str(path))


def scored(
    folder: Path,
    case: LabelledCase,
    *structures: Structure,
    values: dict[str, int] | None = None,
) -> list[Score]:
    files = CaseRecord("case7", "validation", "", Path("ct"), Path("labels"), VALUES)
    (masks,) = find_masks(folder, [files], values)
    return list(score_masks(case, structures, masks, kind=PromptKind.BOX))


def test_a_label_map_is_scored_whatever_the_order_of_its_axes(
    tmp_path: Path, case: LabelledCase
) -> None:
    write(tmp_path / "case7.nii.gz", theirs().astype(np.float32), "ASR")
    liver, left, both = scored(tmp_path, case, LIVER, LEFT, HEART, KIDNEYS)
    assert liver.dice == pytest.approx(2 * 5 / (5 + 6))
    assert (left.dice, left.surface_dice, left.hausdorff95) == (1, 1, 0)
    assert both.dice == pytest.approx(2 / 3)
    assert (liver.kind, liver.windows) == (PromptKind.BOX, "masks")
    assert (liver.seconds, liver.first_prompt, liver.agreement) == (None, False, None)
    assert liver.label_ml == pytest.approx(6 * 64 * 12 / 1000)
    assert liver.answer_ml == pytest.approx(5 * 64 * 12 / 1000)
    assert liver.baselines.box == 1


def test_values_of_their_own_are_known_by_their_names(tmp_path: Path, case: LabelledCase) -> None:
    write(tmp_path / "case7.mha", theirs() * 10)
    values = {"Liver": 10, "Left Kidney": 20, "right kidney": 30}
    liver, left, both = scored(tmp_path, case, LIVER, LEFT, KIDNEYS, values=values)
    assert (left.dice, both.dice) == (1, pytest.approx(2 / 3))
    assert liver.dice == pytest.approx(10 / 11)
    with pytest.raises(SegVolError, match=r"does not name kidney_left\. --organs chooses"):
        scored(tmp_path, case, LEFT, values={"Liver": 10})


def test_a_file_per_structure_is_scored(tmp_path: Path, case: LabelledCase) -> None:
    write(tmp_path / "case7" / "liver.nii.gz", (theirs() == 1).astype(np.uint8) * 255)
    write(tmp_path / "case7" / "left kidney.nrrd", (theirs() == 2).astype(np.uint8))
    write(tmp_path / "case7" / "kidney_right.nii.gz", (theirs() == 3).astype(np.uint8))
    (tmp_path / "case7" / "readme.txt").write_text("mine")
    liver, left, right, both = scored(tmp_path, case, LIVER, LEFT, RIGHT, KIDNEYS)
    assert liver.dice == pytest.approx(10 / 11)
    assert left.dice == 1
    assert (right.dice, right.hausdorff95, right.answer_ml) == (0, None, 0)
    assert both.dice == pytest.approx(2 / 3)
    write(tmp_path / "case7" / "kidneys.nii.gz", np.isin(labels(), (2, 3)).astype(np.uint8))
    assert scored(tmp_path, case, KIDNEYS)[0].dice == 1


def test_a_segmentation_of_slicer_is_scored_by_its_names_with_overlaps(
    tmp_path: Path, case: LabelledCase
) -> None:
    everything = Segment("Left kidney", labels() > 0)
    segments = [Segment("Liver", theirs() == 1), everything]
    write_segmentation(tmp_path / "case7.seg.nrrd", case.volume, segments)
    liver, left = scored(tmp_path, case, LIVER, LEFT)
    assert liver.dice == pytest.approx(10 / 11)
    kidney, whole = int((labels() == 2).sum()), int((labels() > 0).sum())
    assert left.dice == pytest.approx(2 * kidney / (kidney + whole))
    with pytest.raises(SegVolError, match="does not name kidney_right"):
        scored(tmp_path, case, KIDNEYS)


def test_a_segmentation_without_names_is_refused(tmp_path: Path, case: LabelledCase) -> None:
    image = SimpleITK.GetImageFromArray(labels())
    image.SetSpacing(SPACING)
    image.SetMetaData("Segment0_Name", "Liver")
    SimpleITK.WriteImage(image, str(tmp_path / "case7.seg.nrrd"))
    with pytest.raises(SegVolError, match="does not say what its values mean"):
        scored(tmp_path, case, LIVER)


def test_masks_that_are_missing_or_there_twice_are_named_before_anything_is_read(
    tmp_path: Path, case: LabelledCase
) -> None:
    with pytest.raises(SegVolError, match=r"There is no folder .*nowhere"):
        scored(tmp_path / "nowhere", case, LIVER)
    with pytest.raises(SegVolError, match=r"The masks of case7 are missing: .* case7\.nii\.gz"):
        scored(tmp_path, case, LIVER)
    write(tmp_path / "case7.nii.gz", theirs())
    (tmp_path / "case7").mkdir()
    with pytest.raises(SegVolError, match=r"case7 twice: case7, case7\.nii\.gz"):
        scored(tmp_path, case, LIVER)


def test_a_structure_without_a_file_is_named(tmp_path: Path, case: LabelledCase) -> None:
    write(tmp_path / "case7" / "liver.nii.gz", (theirs() == 1).astype(np.uint8))
    with pytest.raises(
        SegVolError, match=r"no file for kidney_left, .* case7/kidney_left\.nii\.gz"
    ):
        scored(tmp_path, case, LEFT)


@pytest.mark.parametrize("per_structure", [False, True])
def test_masks_that_do_not_fit_are_refused(
    tmp_path: Path, case: LabelledCase, per_structure: bool
) -> None:
    path = tmp_path / ("case7/liver.nii.gz" if per_structure else "case7.nii.gz")
    colours = np.stack([theirs()] * 3, axis=-1)
    for wrong, message in (
        (theirs()[1:], "does not lie on the voxels of the CT"),
        (theirs() + np.float32(0.5), "no whole numbers"),
    ):
        write(path, wrong)
        with pytest.raises(SegVolError, match=rf"The masks of case7: {path.name} .*{message}"):
            scored(tmp_path, case, LIVER)
    moved = SimpleITK.GetImageFromArray(theirs())
    moved.SetSpacing((2.0, 2.0, 2.9))
    SimpleITK.WriteImage(moved, str(path))
    with pytest.raises(SegVolError, match="does not lie on the voxels"):
        scored(tmp_path, case, LIVER)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(colours, isVector=True), str(path))
    with pytest.raises(SegVolError, match="no 3-D label map"):
        scored(tmp_path, case, LIVER)
    path.write_bytes(b"no image")
    with pytest.raises(SegVolError, match="cannot be read"):
        scored(tmp_path, case, LIVER)


def test_a_program_that_found_nothing_at_all_is_scored(tmp_path: Path, case: LabelledCase) -> None:
    write(tmp_path / "case7.nii.gz", theirs() * 0)
    (liver,) = scored(tmp_path, case, LIVER)
    assert (liver.dice, liver.surface_dice, liver.hausdorff95) == (0, 0, None)
