"""What `segvol evaluate` is to do, found out and checked before anything is computed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from segvol_core.demo.case import DEMO_STRUCTURES, fetch_case
from segvol_core.errors import SegVolWarning
from segvol_core.evaluation.cases import cases_of_folder, single_case
from segvol_core.evaluation.comparison import Asked
from segvol_core.evaluation.label_maps import EvaluationError, read_label_map
from segvol_core.evaluation.label_prompts import PromptKind, parse_kinds, prompt_text
from segvol_core.evaluation.peer_masks import PeerMasks, find_masks
from segvol_core.evaluation.score_csv import read_scores
from segvol_core.evaluation.scoring import Score
from segvol_core.evaluation.structures import (
    Structure,
    check_wanted,
    choose_structures,
    parse_groups,
)
from segvol_core.training.data.records import VALIDATION_SHARE, CaseRecord
from segvol_core.zoom import Placement

DEMO_FOLDER = Path("demo")
DEFAULT_KINDS = "text,point,box"

_PLACEMENTS: dict[str, tuple[Placement, ...]] = {
    "lattice": ("lattice",),
    "published": ("published",),
    "both": ("lattice", "published"),
}


@dataclass(frozen=True)
class Source:
    """Where cases come from: a folder, three files, or the demo; exactly one of them.

    Attributes
    ----------
    split, validation
        Which cases of the folder; which of them a training keeps for validation.
    masks, masks_label_map
        Another program's masks, and the names of their values.
    """

    folder: Path | None = None
    split: str | None = None
    validation: str | None = None
    image: Path | None = None
    labels: Path | None = None
    label_map: Path | None = None
    demo: bool = False
    masks: Path | None = None
    masks_label_map: Path | None = None


@dataclass(frozen=True)
class Evaluation:
    """What is to be evaluated, checked as far as that goes without reading a volume.

    Attributes
    ----------
    cases
        Each with its structures.
    masks
        Another program's masks of each case, to be scored instead of ours; or None.
    identify
        Whether the network is to name masks, too.
    """

    cases: tuple[tuple[CaseRecord, tuple[Structure, ...]], ...]
    kinds: tuple[PromptKind, ...]
    placements: tuple[Placement, ...]
    min_voxels: int
    masks: tuple[PeerMasks, ...] | None = None
    identify: bool = False


def plan_evaluation(
    source: Source,
    *,
    kinds: str | None,
    organs: str,
    groups: Sequence[str],
    windows: str,
    limit: int | None,
    min_voxels: int,
    identify: bool = False,
) -> Evaluation:
    """Find the cases and their structures; the demo's CT is fetched if it is not there.

    Raises
    ------
    SegVolError
        If an option makes no sense, a file is missing, or no case has a structure.
    """
    chosen_kinds = _kinds(source, kinds)
    together = parse_groups(groups)
    wanted = [name.strip() for name in organs.split(",") if name.strip()]
    if source.demo and not wanted and not together:
        wanted = list(DEMO_STRUCTURES)
    cases = _cases(source)[:limit]
    check_wanted(
        (name for case in cases for name in case.structures),
        [*wanted, *(name for names in together.values() for name in names)],
    )
    structures = [choose_structures(case.structures, wanted, together) for case in cases]
    evaluation = Evaluation(
        cases=tuple((case, tuple(s)) for case, s in zip(cases, structures, strict=True) if s),
        kinds=tuple(chosen_kinds),
        placements=_PLACEMENTS[windows],
        min_voxels=min_voxels,
        identify=identify,
    )
    if source.masks is not None and identify:
        raise EvaluationError(
            "--identify asks our network, and --masks has none: give one of them."
        )
    if source.masks is not None:
        values = None if source.masks_label_map is None else read_label_map(source.masks_label_map)
        found = find_masks(source.masks, [case for case, _ in evaluation.cases], values)
        return replace(evaluation, masks=tuple(found))
    if any("text" in kind.parts for kind in chosen_kinds):
        _point_out_unknown({each.name for chosen in structures for each in chosen})
    return evaluation


def questions(evaluation: Evaluation) -> set[Asked]:
    """What an evaluation will ask at most: case, structure and kind of prompt."""
    return {
        (case.name, structure.name, kind)
        for case, structures in evaluation.cases
        for structure in structures
        for kind in evaluation.kinds
    }


def scores_of_run(source: Source, chosen: bool) -> list[Score]:
    """Scores of an earlier run, given in place of a folder.

    Raises
    ------
    SegVolError
        If the file is no such run, or options choose what would be computed.
    """
    if source.folder is None:
        raise AssertionError("the file of a run is given")
    if chosen or source != Source(source.folder):
        raise EvaluationError(
            f"{source.folder} is a run that is done: only --compare, --output, --markdown and "
            "--plots go with it."
        )
    return read_scores(source.folder)


def _kinds(source: Source, kinds: str | None) -> list[PromptKind]:
    if source.masks is None:
        if source.masks_label_map is not None:
            raise EvaluationError("--masks-label-map names values in --masks, which is not given.")
        return parse_kinds(DEFAULT_KINDS if kinds is None else kinds)
    chosen = [] if kinds is None else parse_kinds(kinds)
    if len(chosen) != 1:
        raise EvaluationError(
            "Say with --kinds what the masks were made from, one kind for all: box, for instance, "
            "or text for a program that is only told what to look for."
        )
    return chosen


def _cases(source: Source) -> list[CaseRecord]:
    files = (source.image, source.labels, source.label_map)
    given = [source.folder is not None, any(files), source.demo]
    if sum(given) != 1:
        raise EvaluationError(
            "Say what to evaluate, in one way: a folder; --image, --labels and --label-map; "
            "or --demo."
        )
    if source.split is not None and source.folder is None:
        raise EvaluationError("--split chooses cases of a folder, but no folder is given.")
    if source.validation is not None and source.split is None:
        raise EvaluationError(
            "--validation says which cases of a folder are the split “validation”: give "
            "--split validation with it."
        )
    if source.folder is not None:
        return cases_of_folder(source.folder, source.split, _validation(source.validation))
    if source.demo:
        return [fetch_case(DEMO_FOLDER)]
    if source.image is None or source.labels is None or source.label_map is None:
        raise EvaluationError("A single case needs --image, --labels and --label-map.")
    return [single_case(source.image, source.labels, source.label_map)]


def _validation(text: str | None) -> float | list[str]:
    """A share of the cases, or names of cases."""
    if text is None:
        return VALIDATION_SHARE
    try:
        share = float(text)
    except ValueError:
        return [name for name in (part.strip() for part in text.split(",")) if name]
    if not 0 <= share <= 1:
        raise EvaluationError("--validation is a share from 0 to 1, or names of cases.")
    return share


def _point_out_unknown(names: set[str]) -> None:
    unknown = sorted(name for name in names if prompt_text(name) is None)
    if unknown:
        warnings.warn(
            f"The vocabulary does not know {', '.join(unknown)}: no prompts with text for them.",
            SegVolWarning,
            stacklevel=3,
        )
