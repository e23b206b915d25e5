"""SegVol: segment anything in a CT by clicking, drawing a box or typing a name.

Importing this package imports no torch, so that Slicer's own Python can use the parts that need
none (the vocabulary, the prompts, the client).
"""

__version__ = "0.1.0"
