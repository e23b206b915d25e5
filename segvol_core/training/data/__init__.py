"""Folders of CTs as people have them: layouts, reading, and a check before training."""
