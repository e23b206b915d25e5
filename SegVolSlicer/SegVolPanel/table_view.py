"""Slicer's layouts with a table."""

import slicer


def show_a_table() -> None:
    """Change to the layout that is like the present one and has a table as well."""
    tables = slicer.app.moduleManager().module("Tables")
    if tables is not None:
        layout_manager = slicer.app.layoutManager()
        layout_manager.setLayout(tables.logic().GetLayoutWithTable(layout_manager.layout))
