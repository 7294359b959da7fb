"""Job files written by picofed: the content of one, as TOML or JSON by the name's end."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from picofed.learn.job import JobError
from picofed.learn.model import Model, Rectangle


def train_entries(model: Model) -> list[Any]:
    """`[model] train` of a job file for what a model trains."""
    return [_entry(part, model.widths[number], model.widths[number + 1]) for number, part in enumerate(model.trained)]


def _entry(part: Rectangle | None, columns: int, rows: int) -> Any:
    if part is None:
        return False
    if part == Rectangle(0, rows, 0, columns):
        return True
    return {
        "rows": [part.row_begin, part.row_end],
        "columns": [part.column_begin, part.column_end],
        "bias": part.bias,
    }


def write(path: Path, item: dict[str, Any]) -> None:
    """Write a job file. Raises JobError."""
    text = json.dumps(item, indent=2) + "\n" if path.suffix == ".json" else _toml(item)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise JobError(f"cannot write the job file {path}: {error.strerror or error}") from error


def _toml(item: dict[str, Any]) -> str:
    lines = [f"{key} = {_value(value)}" for key, value in item.items() if not isinstance(value, dict)]
    for key, section in item.items():
        if isinstance(section, dict):
            lines += ["", f"[{key}]", *(f"{name} = {_value(value)}" for name, value in section.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, float):
        return {math.inf: "inf", -math.inf: "-inf"}.get(value, repr(value))
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # TOML's strings and bools are JSON's
