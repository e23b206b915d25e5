"""Training of a SegVol network from a folder of CTs, and the recipe of the bundled starter."""
