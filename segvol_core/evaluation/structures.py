"""Which structures of labelled CTs are meant: by names, patterns of names, and groups."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from segvol_core import organs
from segvol_core.evaluation.label_maps import EvaluationError

_organ = cache(organs.find_known)
"""Patterns are held against the same names again and again."""


@dataclass(frozen=True)
class Structure:
    """Something to find.

    Attributes
    ----------
    name
        In reports and prompts.
    members
        What it is in the labels: one structure, or several taken together.
    """

    name: str
    members: tuple[str, ...]


def choose_structures(
    labelled: Iterable[str],
    wanted: Sequence[str] = (),
    groups: Mapping[str, Sequence[str]] | None = None,
) -> list[Structure]:
    """Structures of a case to evaluate; names that it does not have are passed over.

    Parameters
    ----------
    labelled
        What the case is labelled for.
    wanted
        Names as in the labels, patterns of them (``lung_*``), or other words for them ("left
        kidney"). Nothing for all of them, or for none but the groups.
    groups
        Structures to be taken together, under the name of the group.
    """
    groups = groups or {}
    names = list(labelled)
    patterns = wanted if wanted or groups else ("*",)
    chosen = [Structure(name, (name,)) for name in _meant(patterns, names)]
    for group, members in groups.items():
        found = _meant(members, names)
        if found:
            chosen.append(Structure(group, tuple(found)))
    return chosen


def check_wanted(labelled: Iterable[str], wanted: Iterable[str]) -> None:
    """Make sure that every wanted name is a structure that some case is labelled for.

    Raises
    ------
    EvaluationError
        If one is not; the message names it and what there is.
    """
    known = sorted(set(labelled))
    missing = [each for each in wanted if not _meant([each], known)]
    if missing:
        raise EvaluationError(
            f"No case is labelled for {', '.join(missing)}. The labels are "
            f"{', '.join(known) or 'none'}."
        )


def parse_groups(definitions: Iterable[str]) -> dict[str, list[str]]:
    """Groups from texts such as ``lungs=lung_*`` or ``heart=heart,atrial_appendage_left``.

    Raises
    ------
    EvaluationError
        If a text is not of that form, or a group is defined twice.
    """
    groups: dict[str, list[str]] = {}
    for definition in definitions:
        name, _, rest = (part.strip() for part in definition.partition("="))
        members = [member.strip() for member in rest.split(",") if member.strip()]
        if not name or not members or name in groups:
            raise EvaluationError(
                f"“{definition}” is no group: write for instance lungs=lung_upper_lobe_left,"
                "lung_lower_lobe_left, each group once."
            )
        groups[name] = members
    return groups


def same_structure(wanted: str, name: str) -> bool:
    """Whether a user's word or pattern for a structure means this name of the labels."""
    if fnmatch.fnmatchcase(name.casefold(), wanted.strip().casefold()):
        return True
    organ = _organ(wanted)
    return organ is not None and organ == _organ(name)


def _meant(wanted: Iterable[str], names: Sequence[str]) -> list[str]:
    patterns = list(wanted)
    return [name for name in names if any(same_structure(each, name) for each in patterns)]
