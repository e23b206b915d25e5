"""The work of `segvol evaluate`: cases in, scores out, with progress bars."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.progress import Progress

from segvol_core.cli.evaluation_plan import Evaluation
from segvol_core.cli.progress import step
from segvol_core.devices import choose_device
from segvol_core.errors import SegVolError
from segvol_core.evaluation.cases import read_case
from segvol_core.evaluation.peer_masks import PeerMasks, score_masks
from segvol_core.evaluation.scoring import Score, plan_prompts, score_prompts
from segvol_core.evaluation.structures import Structure
from segvol_core.model.segvol import SegVol
from segvol_core.training.data.reading import check_network_reads
from segvol_core.training.data.records import CaseRecord
from segvol_core.weights import load_model


def evaluate_cases(
    evaluation: Evaluation, weights: str, device: str, progress: Progress
) -> Iterator[Score]:
    """Score case after case, each in one pass, so that encoded windows serve all its prompts.

    Raises
    ------
    SegVolError
        If the weights or a case cannot be read.
    """
    all_cases = progress.add_task("Cases", total=len(evaluation.cases))
    for scores in _scores_by_case(evaluation, weights, device, progress):
        yield from scores
        progress.advance(all_cases)


def _scores_by_case(
    evaluation: Evaluation, weights: str, device: str, progress: Progress
) -> Iterator[Iterator[Score]]:
    if evaluation.masks is not None:
        for (files, structures), masks in zip(evaluation.cases, evaluation.masks, strict=True):
            yield _scores_of_masks(evaluation, masks, files, structures, progress)
        return
    with step(progress, "Loading the weights"):
        model = load_model(weights, choose_device(device))
    for files, structures in evaluation.cases:
        yield _scores_of_case(evaluation, model, files, structures, progress)


def _scores_of_masks(
    evaluation: Evaluation,
    masks: PeerMasks,
    files: CaseRecord,
    structures: Sequence[Structure],
    progress: Progress,
) -> Iterator[Score]:
    with step(progress, "Reading"):
        case = read_case(files)
    kind, *_ = evaluation.kinds
    yield from score_masks(case, structures, masks, kind=kind, min_voxels=evaluation.min_voxels)


def _scores_of_case(
    evaluation: Evaluation,
    model: SegVol,
    files: CaseRecord,
    structures: Sequence[Structure],
    progress: Progress,
) -> Iterator[Score]:
    with step(progress, "Reading"):
        case = read_case(files)
        check_network_reads(
            case.name,
            model.config,
            millimetres=case.in_millimetres,
            hounsfield=case.in_hounsfield,
        )
        planned = plan_prompts(case, structures, evaluation.kinds, evaluation.min_voxels)
    prompts = progress.add_task("Prompts", total=len(planned) * len(evaluation.placements))
    try:
        for score in score_prompts(
            model, case, planned, evaluation.placements, identify=evaluation.identify
        ):
            progress.advance(prompts)
            yield score
    finally:
        progress.remove_task(prompts)


def check_anything_scored(scores: Sequence[Score], min_voxels: int) -> None:
    """Say so if there was nothing to evaluate.

    Raises
    ------
    SegVolError
        If there are no scores.
    """
    if not scores:
        raise SegVolError(
            f"There was nothing to evaluate: no structure with {min_voxels} voxels or more."
        )
