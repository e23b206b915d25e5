"""Cases that training reads, and their pseudo-labels."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from index_folder import TINY

from segvol_core.training.cases import TrainingDataError, prepare_cases, read_index
from segvol_core.training.pseudo_labels import GRID_MM, clean, supervoxels
from segvol_core.training.validation import dice


def test_a_folder_is_read_whatever_the_orientation_of_its_files(folder: Path) -> None:
    first, second, third = prepare_cases(read_index(folder), TINY)
    assert second.labels is None
    assert second.label_values == {}
    assert first.labels is not None
    assert third.labels is not None
    assert torch.equal(first.labels, third.labels)
    # Labels lie where the image is bright.
    organ = first.image.float()[first.labels == 2].mean()
    elsewhere = first.image.float()[first.labels == 0].mean()
    assert organ > 2 * elsewhere


def test_prepared_cases_are_kept_only_where_a_cache_is_wanted(folder: Path, tmp_path: Path) -> None:
    before = sorted(folder.iterdir())
    plain = list(prepare_cases(read_index(folder), TINY))
    assert sorted(folder.iterdir()) == before
    for _ in range(2):
        cached = list(prepare_cases(read_index(folder), TINY, tmp_path / "cache"))
        assert torch.equal(cached[0].image, plain[0].image)
        assert torch.equal(cached[1].regions.regions, plain[1].regions.regions)
    assert len(list((tmp_path / "cache").iterdir())) == 3


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda folder: (folder / "index.json").unlink(), "no index.json"),
        (lambda folder: (folder / "index.json").write_text("{"), "not a list of cases"),
        (lambda folder: (folder / "index.json").write_text('[{"case": "a"}]'), "not a list of"),
        (lambda folder: (folder / "ct.nii.gz").unlink(), "names ct.nii.gz"),
        (lambda folder: folder.rename(folder.with_name("moved")), "no training folder"),
    ],
)
def test_a_folder_that_is_not_a_training_folder_is_named_in_a_sentence(
    tmp_path: Path, damage: Callable[[Path], object], sentence: str
) -> None:
    folder = tmp_path / "cts"
    folder.mkdir()
    (folder / "ct.nii.gz").touch()
    record = {"case": "a", "split": "train", "image": "ct.nii.gz", "labels": None}
    (folder / "index.json").write_text(json.dumps([{**record, "label_map": None}]))
    read_index(folder)
    damage(folder)
    with pytest.raises(TrainingDataError, match=sentence):
        read_index(folder)


def test_pseudo_labels_tell_two_touching_organs_apart() -> None:
    rng = np.random.default_rng(0)
    voxels = np.full((20, 30, 34), -80.0)
    organs = np.zeros(voxels.shape, dtype=np.uint8)
    voxels[4:16, 6:24, 4:16], organs[4:16, 6:24, 4:16] = 60, 1
    voxels[4:16, 6:24, 16:30], organs[4:16, 6:24, 16:30] = 190, 2
    voxels += rng.normal(0, 8, voxels.shape)
    regions = clean(supervoxels(voxels.astype(np.float32)))
    best = []
    for organ in (1, 2):
        overlaps = [dice(regions == r, organs == organ) for r in range(1, regions.max() + 1)]
        assert max(overlaps) > 0.7
        best.append(int(np.argmax(overlaps)))
    assert best[0] != best[1]


def test_pseudo_labels_have_no_specks_and_no_whole_volumes() -> None:
    rng = np.random.default_rng(1)
    found = np.zeros((20, 30, 30), dtype=np.int32)
    found[4:12, 5:20, 5:20] = 1
    found[15, 15, 15] = 2
    found[14:19, 20:29, 2] = 3  # one voxel thick: opening removes it
    found[4:12, 20:24, 5:20][rng.random((8, 4, 15)) < 0.03] = 1
    cleaned = clean(found)
    assert cleaned.max() == 1
    sizes = np.bincount(cleaned.ravel())[1:]
    assert (sizes * GRID_MM**3 > 3000).all()
    assert cleaned[15, 15, 15] == 0
    assert not cleaned[14:19, 20:29, 2].any()
