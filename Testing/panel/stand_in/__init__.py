"""`qt`, `ctk` and Slicer's widgets on PySide6, as strict as PythonQt is.

What the panel uses and PythonQt has works here; what PythonQt does not have raises. The MRML below
is `slicer-core`'s own. `application.install` puts it all in place.
"""
