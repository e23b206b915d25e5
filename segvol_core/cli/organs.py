"""`segvol organs`: the names that can be asked for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segvol_core.cli.command_group import ExitCode
from segvol_core.cli.options import JsonOption, VerboseOption

if TYPE_CHECKING:
    from segvol_core.organs import Organ

_MOST_MATCHES = 20


def organs(
    query: Annotated[
        str | None,
        typer.Argument(metavar="QUERY", help="A name, part of one, or a group such as chest."),
    ] = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,  # noqa: ARG001  # Its callback has told the group.
) -> None:
    """List the organs that can be named: all, or those that a query may mean.

    The exit code is 3 if none is like the query.
    """
    from segvol_core.organs import vocabulary  # noqa: PLC0415

    found = vocabulary() if query is None else _matches(query)
    if as_json:
        typer.echo(json.dumps([_described(organ) for organ in found], indent=2))
    elif found:
        _print(found)
    else:
        typer.echo(f"No organ has a name like “{query}”.", err=True)
    if not found:
        raise typer.Exit(ExitCode.NOTHING_FOUND)


def _matches(query: str) -> list[Organ]:
    """Organs of the group of that name, or that the name means, then those it may mean."""
    from segvol_core.errors import OrganError  # noqa: PLC0415
    from segvol_core.organs import find, suggest, vocabulary  # noqa: PLC0415

    in_group = [organ for organ in vocabulary() if organ.group == query.strip().casefold()]
    if in_group:
        return in_group
    names = suggest(query, limit=_MOST_MATCHES)
    try:
        first = [find(query)]
    except OrganError:
        first = []
    return list(dict.fromkeys([*first, *(find(name) for name in names)]))


def _described(organ: Organ) -> dict[str, Any]:
    return {
        "name": organ.name,
        "segment": organ.display_name,
        "group": organ.group,
        "side": organ.side,
        "synonyms": list(organ.synonyms),
        "prompt": organ.prompt,
        "spellings": list(organ.spellings),
        "color": list(organ.color),
        "terminology": organ.terminology_entry(),
    }


def _print(found: Sequence[Organ]) -> None:
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from segvol_core.cli.tables import print_table  # noqa: PLC0415

    table = Table("", "Name", "Group", "Also called", box=None, pad_edge=False)
    for organ in found:
        red, green, blue = organ.color
        swatch = Text("■", style=f"rgb({red},{green},{blue})")
        table.add_row(swatch, organ.name, organ.group, ", ".join(organ.synonyms))
    print_table(table)
    unseen = sum(not organ.trained for organ in found)
    typer.echo(f"{len(found)} organs; the published model was not trained on {unseen} of them.")
