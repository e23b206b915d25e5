# Slicer's own settings would be here.
