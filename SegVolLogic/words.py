"""Sentences in the language of the application, by MRML's own translator: no Qt is needed."""

import inspect
import string

import slicer


def tr(text: str) -> str:
    """Translate a sentence; outside of Slicer, or without a translation, it stays as it is.

    Imported as ``_``, which is what Slicer's tools look for when they collect what is to be
    translated. The context is the module that calls, as they name it.

    Parameters
    ----------
    text
        In English; what is to be filled in stands in braces.
    """
    frame = inspect.currentframe()
    caller = frame and frame.f_back
    context = "" if caller is None else caller.f_globals["__name__"]
    translated: str = slicer.vtkMRMLI18N.GetInstance().Translate(context, text)
    # Filling in a translation that names something else in its braces would fail.
    return translated if _fields(translated) == _fields(text) else text


def _fields(text: str) -> set[str | None] | None:
    try:
        return {name for _, name, _, _ in string.Formatter().parse(text)} - {None}
    except ValueError:
        return None
