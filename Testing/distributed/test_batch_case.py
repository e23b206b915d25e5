"""One case of a batch, in this process; and a batch in which everything is done, without Ray."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import torch
from command_line import run
from small_network import small_network
from test_batch_on_ray import write_ct

from segvol_core.batch.cases import BatchCase, find_cases
from segvol_core.batch.job import Computing, Job, settings_of
from segvol_core.batch.records import done_before
from segvol_core.batch.segment_case import segment_case
from segvol_core.batch.wanted import wanted_names
from segvol_core.prompts import Prompts
from segvol_core.session import Session
from segvol_core.volume_io import read_volume
from segvol_core.weights import save_model


@pytest.fixture
def job(tmp_path: Path) -> Job:
    write_ct(tmp_path / "cts" / "a.nrrd", 0, (14, 36, 40))
    weights = tmp_path / "small.safetensors"
    save_model(small_network(), weights)
    wanted = wanted_names(["liver, spleen"])
    computing = Computing(str(weights), "cpu", "lattice", "float32", 2**20)
    hidden = tmp_path / "out" / ".segvol-batch"
    return Job(
        BatchCase("a", tmp_path / "cts" / "a.nrrd"),
        wanted,
        computing,
        tmp_path / "out" / "a.nii.gz",
        hidden / "records" / "a.json",
        hidden / "unfinished",
        settings_of(wanted, computing),
    )


def test_a_case_is_segmented_as_alone_and_is_done_then(job: Job) -> None:
    outcome = segment_case(job)
    assert outcome.error is None
    here = Session(small_network(), read_volume(job.case.ct))
    liver, spleen = (here.mask(Prompts(text=text)) for text in ("liver", "spleen"))
    assert [(found.name, found.voxels) for found in outcome.found] == [
        ("Liver", liver.sum()),
        ("Spleen", spleen.sum()),
    ]
    assert outcome.found[0].millilitres == pytest.approx(liver.sum() * 2.5e-3)
    labels = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(job.output)))
    assert np.array_equal(labels == 2, spleen)
    assert done_before(job) == replace(outcome, attempts=0)
    assert list(job.workshop.iterdir()) == []


def test_a_broken_file_and_missing_memory_are_sentences_and_leave_nothing(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = job.case.ct.with_name("broken.nrrd")
    broken.write_text("no image")
    outcome = segment_case(replace(job, case=BatchCase("broken", broken)))
    assert "no image that SegVol can read" in outcome.error
    assert not outcome.again

    def too_large(*_: object) -> None:
        torch.empty(2**55)

    monkeypatch.setattr("segvol_core.session.prepare", too_large)
    outcome = segment_case(job)
    assert "memory" in outcome.error
    assert outcome.again
    assert not job.output.exists()
    assert not job.workshop.exists() or not list(job.workshop.iterdir())


def test_a_folder_that_cannot_be_written_is_a_sentence(job: Job) -> None:
    job.output.parent.write_text("a file where a folder is needed")
    outcome = segment_case(job)
    assert outcome.error.startswith("A file cannot be read or written")


def batch(job: Job, *options: object) -> object:
    return run(
        *("batch", job.case.ct.parent, "--output", job.output.parent, "--names", "liver, spleen"),
        *("--format", "nii.gz", "--weights", job.computing.weights, "--device", "cpu", *options),
    )


def test_what_is_done_needs_no_ray_and_is_reported(job: Job) -> None:
    assert segment_case(job).error is None
    result = batch(job)
    assert result.exit_code == 0, result.output
    assert "0 done, 1 done before, 0 without a result." in result.stdout
    report = (job.output.parent / "report.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in report[1:]] == [["a", "Liver"], ["a", "Spleen"]]
    # The results are not taken for CTs, even where they lie among them.
    found = find_cases(job.case.ct.parents[1], but_not_in=job.output.parent)
    assert [case.name for case in found] == ["cts/a"]


def test_what_is_in_the_way_is_kept(job: Job) -> None:
    assert segment_case(job).error is None
    job.output.write_bytes(b"corrected by hand")
    result = batch(job)
    assert result.exit_code == 2
    assert "was changed since it was written" in result.stderr
    assert job.output.read_bytes() == b"corrected by hand"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "Give --names or --prompts."),
        (("--names", "liver", "--prompts", "x.json"), "Give --names or --prompts."),
        (("--names", "livver of"), "segvol organs"),
        (("--prompts", "no-such.json"), "no-such.json cannot be read"),
    ],
)
def test_a_wrong_command_is_a_sentence(job: Job, options: tuple[str, ...], sentence: str) -> None:
    result = run("batch", job.case.ct.parent, "--output", job.output.parent, *options)
    assert result.exit_code == 2
    assert sentence in result.stderr
