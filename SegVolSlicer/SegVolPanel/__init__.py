"""The SegVol panel in 3D Slicer: Qt and nothing else, over `SegVolLogic`.

`panel` is where to start reading: it holds a controller, the sections of the panel, and a timer.
"""
