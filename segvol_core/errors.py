"""Errors and warnings whose text is a sentence for the person at the screen."""


class SegVolError(Exception):
    """Base of everything that this package raises on purpose."""


class VolumeError(SegVolError):
    """A file or an array that cannot be read as a volume."""


class PromptError(SegVolError):
    """A point, a box or a text that cannot be used on this volume."""


class OrganError(SegVolError):
    """An organ name that the vocabulary does not know; `suggestions` are names that it does."""

    def __init__(self, message: str, suggestions: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.suggestions = suggestions


class WeightsError(SegVolError):
    """Weights that are missing, damaged, or of another model."""


class PackagesError(SegVolError):
    """The private packages cannot be installed, changed or used."""


class SegVolWarning(UserWarning):
    """Something the user should know, though there is a result."""
