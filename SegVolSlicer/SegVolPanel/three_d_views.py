"""The 3D views of Slicer's window."""

import slicer


def look_at_everything() -> None:
    """Let the 3D views look at what there is: at first they look at the origin, where no CT is."""
    layout = slicer.app.layoutManager()
    if layout is None:  # Slicer without a window
        return
    for index in range(layout.threeDViewCount):
        view = layout.threeDWidget(index).threeDView()
        view.resetFocalPoint()
        view.resetCamera()
