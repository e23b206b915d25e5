"""Where the mouse is, told to the views of Slicer."""

import qt
import slicer


def tell_views_where_the_mouse_is() -> None:
    """Let the slice view under the mouse know that it is there, as if it had just moved.

    A click places a point only where Slicer has seen the mouse move since clicks place points: one
    who presses a key and clicks without moving would click in vain.
    """
    layout_manager = slicer.app.layoutManager()
    mouse = qt.QCursor.pos()
    for name in layout_manager.sliceViewNames():
        view = layout_manager.sliceWidget(name).sliceView()
        place = view.mapFromGlobal(mouse)
        if view.visible and view.rect.contains(place):
            interactor = view.interactorStyle().GetInteractor()
            width, height = interactor.GetRenderWindow().GetSize()
            # The views count in the screen's own pixels, from below.
            x = round(place.x() * width / view.width)
            y = height - 1 - round(place.y() * height / view.height)
            interactor.SetEventPosition(x, y)
            interactor.MouseMoveEvent()
