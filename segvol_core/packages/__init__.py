"""The private packages: torch and the rest, in a folder of their own, never in Slicer's.

`job` is what Slicer uses: one operation in a process of its own, polled. `status` tells at once
what is there. `program` is what the process runs: it finds an installer (`installers`), installs
beside the old packages, tries the new ones (`verification`), and puts them in place (`swap`).
"""
