"""Which CTs a batch finds, what it is asked of them, and what it takes for done."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from test_batch_on_ray import write_ct

from segvol_core.batch.cases import BatchCase, find_cases
from segvol_core.batch.job import Computing, Found, Job, Outcome, settings_of
from segvol_core.batch.records import InTheWayError, done_before, write_record
from segvol_core.batch.report import to_csv, to_markdown
from segvol_core.batch.wanted import Wanted, read_prompts, wanted_names
from segvol_core.errors import OrganError, PromptError, SegVolError
from segvol_core.prompts import Prompts

COMPUTING = Computing("starter", "cpu", "lattice", "float32", 0)


def test_cts_are_found_below_a_folder_and_results_are_not_taken_for_cts(tmp_path: Path) -> None:
    for name in ("b.nii.gz", "a.NRRD", "ward/a.mha", "ward/old.seg.nrrd", "out/b.nii.gz", "x.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_cases(tmp_path, but_not_in=tmp_path / "out")
    assert [case.name for case in found] == ["a", "b", "ward/a"]


def test_cases_that_differ_in_their_suffix_alone_keep_it(tmp_path: Path) -> None:
    for name in ("a.nii", "a.nrrd", "b.nii"):
        (tmp_path / name).touch()
    found = find_cases(tmp_path, but_not_in=tmp_path / "out")
    assert [case.name for case in found] == ["a.nii", "a.nrrd", "b"]


def test_a_folder_with_dicom_images_is_a_case(tmp_path: Path) -> None:
    series = tmp_path / "patients" / "1"
    series.mkdir(parents=True)
    write_ct(tmp_path / "ct.nii.gz", 0, (3, 8, 8))
    write_dicom(tmp_path / "ct.nii.gz", series)
    found = find_cases(tmp_path, but_not_in=tmp_path / "out")
    assert [case.name for case in found] == ["ct", "patients/1"]


def write_dicom(ct: Path, folder: Path) -> None:
    import SimpleITK  # noqa: PLC0415

    image = SimpleITK.ReadImage(str(ct))
    for k in range(image.GetSize()[2]):
        part = image[:, :, k]
        part.SetMetaData("0008|0060", "CT")
        part.SetMetaData("0020|000e", "1.2.3")
        SimpleITK.WriteImage(part, str(folder / f"{k}.dcm"))


@pytest.mark.parametrize("name", ["none", "empty"])
def test_a_folder_without_cts_is_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SegVolError, match=r"There is no folder|holds no CTs"):
        find_cases(tmp_path / name, but_not_in=tmp_path / "out")


def test_names_are_those_of_the_vocabulary() -> None:
    assert [each.name for each in wanted_names(["spleen, liver", "liver"])] == ["Spleen", "Liver"]
    with pytest.raises(OrganError, match="segvol organs"):
        wanted_names(["livver of"])


def test_prompts_of_a_file_are_each_cases_own(tmp_path: Path) -> None:
    cases = [BatchCase("a", tmp_path / "a.nii"), BatchCase("b", tmp_path / "b.nii")]
    file = tmp_path / "prompts.json"
    prompts = Prompts.from_dict({"points": [{"ras": [1, 2, 3], "positive": True}]})
    file.write_text(json.dumps({"a": {"Lesion": prompts.to_dict()}}))
    assert read_prompts(file, cases) == {"a": (Wanted("Lesion", prompts),)}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is not JSON"),
        ("[]", "must be an object"),
        ('{"z": {}}', "prompts for the case z, which is not there"),
        ('{"a": {}}', "Case a: an object"),
        ('{"a": {"Lesion": {"pionts": []}}}', "Case a, segment Lesion"),
    ],
)
def test_a_wrong_file_of_prompts_is_a_sentence(tmp_path: Path, content: str, sentence: str) -> None:
    file = tmp_path / "prompts.json"
    file.write_text(content)
    with pytest.raises(PromptError, match=sentence):
        read_prompts(file, [BatchCase("a", tmp_path / "a.nii")])


@pytest.fixture
def job(tmp_path: Path) -> Job:
    ct = tmp_path / "a.nii.gz"
    ct.write_bytes(b"voxels")
    wanted = wanted_names(["liver"])
    return Job(
        BatchCase("a", ct),
        wanted,
        COMPUTING,
        tmp_path / "out" / "a.seg.nrrd",
        tmp_path / "out" / "records" / "a.json",
        tmp_path / "out" / "unfinished",
        settings_of(wanted, COMPUTING),
    )


OUTCOME = Outcome("a", (Found("Liver", 5, 0.01), Found("Spleen", 0, 0.0)), 1.5, ("Tilted.",))


def finish(job: Job) -> None:
    job.workshop.mkdir(parents=True)
    finished = job.workshop / job.output.name
    finished.write_bytes(b"segments")
    write_record(job, OUTCOME, finished)
    finished.replace(job.output)


def test_done_is_what_has_record_and_output(job: Job) -> None:
    assert done_before(job) is None
    finish(job)
    assert done_before(job) == replace(OUTCOME, attempts=0)
    # Killed between the two, or deleted by the user.
    job.output.unlink()
    assert done_before(job) is None


def test_a_changed_output_ct_or_question_is_not_done_and_not_lost(job: Job) -> None:
    finish(job)
    other = replace(job, settings=settings_of(wanted_names(["spleen"]), COMPUTING))
    with pytest.raises(InTheWayError, match="made with other names"):
        done_before(other)
    job.case.ct.write_bytes(b"other voxels")
    with pytest.raises(InTheWayError, match="before its CT was changed"):
        done_before(job)
    job.output.write_bytes(b"corrected by hand")
    with pytest.raises(InTheWayError, match="was changed since it was written"):
        done_before(job)
    shutil.rmtree(job.record.parent)
    with pytest.raises(InTheWayError, match="is not of this command"):
        done_before(job)


def test_settings_are_what_a_result_depends_on() -> None:
    liver, spleen = wanted_names(["liver"]), wanted_names(["spleen"])
    base = settings_of(liver, COMPUTING)
    assert settings_of(liver, replace(COMPUTING, threads=8, cache_bytes=5, device="cuda")) == base
    assert settings_of(spleen, COMPUTING) != base
    assert settings_of(liver, replace(COMPUTING, windows="published")) != base


def test_the_report_says_what_was_found_and_why_not() -> None:
    outcomes = [
        OUTCOME,
        Outcome("b|c", error="No image.", attempts=3),
        Outcome("d", (Found("Liver", 5, 0.01),), 2.0, attempts=0),
    ]
    lines = to_csv(outcomes).splitlines()
    assert lines[1] == "a,Liver,yes,0.010,5,1.50,1,Not found: Spleen. Tilted."
    assert lines[2] == "a,Spleen,no,0.000,0,1.50,1,Not found: Spleen. Tilted."
    assert lines[3] == "b|c,,,,,0.00,3,No image."
    text = to_markdown(outcomes)
    assert "| b\\|c |  |  |  | No image. |" in text
    assert "| d | Liver | 0.0 | 2.0 | Done before. |" in text
    assert "1 done, 1 done before, 1 without a result." in text
