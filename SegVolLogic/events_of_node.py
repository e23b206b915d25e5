"""Slicer hears of what changes in a node: once, where much changes at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def told_once(node: Any) -> Iterator[None]:
    """Let each event of a node come once, at the end, of all that changes in it within.

    With a CT in three slice views, Slicer draws every segment anew for each event of a
    segmentation, which takes about 20 ms with one segment and half a second with thirty; a mask
    that is written has up to ten events.

    Not for name and colour of a segment that is there: where both change at once, Slicer's table
    of segments writes the old colour back as soon as it hears of the new name.
    """
    was_modifying = node.StartModify()
    try:
        yield
    finally:
        node.EndModify(was_modifying)
