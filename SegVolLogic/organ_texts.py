"""Names among prompts: as people write them, and as the model has learnt them."""

from dataclasses import replace

from segvol_core.organs import Organ, find_known, free_text
from segvol_core.prompts import Prompts


def organ_of(text: str) -> Organ:
    """Return what the text of a prompt means: an organ, or a text as it is."""
    return find_known(text) or free_text(text)


def for_model(prompts: Prompts) -> Prompts:
    """Return prompts with the spelling of their name that the model has learnt."""
    if prompts.text is None:
        return prompts
    return replace(prompts, text=organ_of(prompts.text).prompt)


def with_text(prompts: Prompts | None, text: str | None) -> Prompts | None:
    """Return prompts with another name, or without; None if nothing is left.

    Raises
    ------
    PromptError
        If only negative points are left.
    """
    points, box = ((), None) if prompts is None else (prompts.points, prompts.box)
    if not points and box is None and text is None:
        return None
    return Prompts(points, box, text)
