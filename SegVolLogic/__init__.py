"""Between Slicer's scene and SegVol's core: nodes to prompts, and masks to segments.

No Qt and no PyTorch. The same code runs in Slicer and on the wheel `slicer-core`, which is the
real MRML without the application.
"""
