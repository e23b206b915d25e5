"""A folder of CTs, segmented one after the other or several at once, with Ray."""
