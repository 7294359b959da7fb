"""The report of a job: `summary` checks summary.json, `html` turns it into one self-contained page.

`text` formats numbers and escapes; `svg` draws; `charts`, `bars` and `grids` are the pictures and `tables`
the same numbers as tables; `prose` holds the words and `style` the CSS.
"""

from picofed.report.html import render, write
from picofed.report.summary import Summary, load, validate

__all__ = ["Summary", "load", "render", "validate", "write"]
