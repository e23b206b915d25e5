"""What cannot be done with the nodes at hand, said in a sentence for the user."""

from segvol_core.errors import SegVolError


class SceneError(SegVolError):
    """A node that is missing, or of a kind or in a place that SegVol cannot work with."""
