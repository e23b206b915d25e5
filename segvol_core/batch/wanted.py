"""What is asked of each case: names for all of them, or prompts of a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segvol_core import organs
from segvol_core.batch.cases import BatchCase
from segvol_core.errors import OrganError, PromptError, SegVolError
from segvol_core.prompts import Prompts


@dataclass(frozen=True)
class Wanted:
    """A segment that is asked for.

    Attributes
    ----------
    name
        What it is called; gives it its colour and its code if the vocabulary has it.
    prompts
        In RAS millimetres.
    """

    name: str
    prompts: Prompts


def wanted_names(texts: Sequence[str]) -> tuple[Wanted, ...]:
    """Segments that lists of organ names ask for.

    Raises
    ------
    OrganError
        If the vocabulary does not know a name.
    """
    try:
        found = dict.fromkeys(organ for text in texts for organ in organs.parse_names(text))
    except OrganError as error:
        raise OrganError(f"{error} `segvol organs` lists them.", error.suggestions) from error
    return tuple(Wanted(organ.display_name, Prompts(text=organ.prompt)) for organ in found)


def read_prompts(path: Path, cases: Sequence[BatchCase]) -> dict[str, tuple[Wanted, ...]]:
    """Segments of each case from a JSON file: case → name of the segment → prompts.

    Raises
    ------
    SegVolError
        If the file cannot be read.
    PromptError
        If it is not of that form, or names a case that is not there.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SegVolError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise PromptError(f"{path} is not JSON: {error}.") from error
    if not isinstance(content, dict):
        raise PromptError(f"{path} must be an object from case to segments.")
    known = {case.name for case in cases}
    if unknown := [name for name in content if name not in known]:
        raise PromptError(
            f"{path} has prompts for the case {unknown[0]}, which is not there; the first case is "
            f"called {cases[0].name}."
        )
    return {name: _segments(name, segments) for name, segments in content.items()}


def _segments(case: str, segments: object) -> tuple[Wanted, ...]:
    if not isinstance(segments, Mapping) or not segments:
        raise PromptError(f"Case {case}: an object from names of segments to prompts is needed.")
    return tuple(_wanted(case, str(name), prompts) for name, prompts in segments.items())


def _wanted(case: str, name: str, prompts: object) -> Wanted:
    try:
        return Wanted(name, Prompts.from_dict(prompts))
    except PromptError as error:
        raise PromptError(f"Case {case}, segment {name}: {error}") from error
