"""Job files: TOML or JSON, written by the operator, to a Job and a Plan.

    name = "watch"

    [model]              # hidden = [32] for an MLP; train = one entry a layer, for a subset; frozen = 1: layer 0 stays
    loss = "softmax"

    [records]
    window = 100         # samples; stride defaults to it
    labels = 7

    [privacy]            # epsilon (and delta), from which noise and clipping norm follow...
    epsilon = 8.0
    records = 1800       # of all boards, roughly; with boards it makes the fit better
    boards = 8
    # clip_norm = 524288, log2_sigma = 20: ...or both of these, in units of the accumulators

    [server]             # any setting of learn.job.Plan
    rounds = 20

Unknown settings are errors, so that a misspelt one is not silently ignored.
"""

from __future__ import annotations

import json
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

from picofed import accounting, masking
from picofed.errors import PicofedError
from picofed.learn import convolution, fronts
from picofed.learn.job import CLIP_NORM_MAX, LOG2_SIGMA, RATES, Job, JobError, Plan, fit_noise, fit_step
from picofed.learn.model import Model, Rectangle
from picofed.learn.modulus import WrapError, fit
from picofed.learn.unmask import spread_by_age
from picofed.learn.variance import Noise

_SECTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "": ("name", "model", "records", "privacy", "local", "server"),
    "model": ("hidden", "loss", "train", "frozen"),
    "records": (
        *("features", "unit", "window", "stride", "channels", "labels", "target", "block", "horizon"),
        *("convolution", "filters"),
    ),
    "privacy": ("epsilon", "delta", "clip_norm", "log2_sigma", "round_shift", "mask_bits", "records", "boards"),
    "local": ("steps", "learning_rate", "records"),
}
FILE_MAX: Final = 1 << 20
HALVINGS: Final = 2  # of the clipping norm that learns best, with its noise, where a sum under masks has no room for it


def load(path: Path | str, *, blank: bool = False, **overrides: Any) -> tuple[Job, Plan]:
    """Read a job file. overrides: settings of Plan (rounds, epsilon...) that win over the file's; blank: filters of a
    convolution are zeros, for a job whose filters are yet to be made.

    Raises JobError naming the file and the setting that is wrong.
    """
    path = Path(path)
    item = read(path)
    try:
        job, plan = parse(item, path.parent, blank=blank, **overrides)
    except PicofedError as error:
        raise JobError(f"{path}: {error}") from error
    # A path in a file is meant from where the file is.
    start, moments = (str(path.parent / name) if name else "" for name in (plan.start, plan.moments))
    return job, replace(plan, start=start, moments=moments)


def read(path: Path) -> Any:
    """A job file's content, not looked at yet. Raises JobError."""
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_MAX + 1)
        if len(raw) > FILE_MAX:
            raise JobError(f"{path} is too large for a job file")
        text = raw.decode("utf-8")
        return json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise JobError(f"cannot read the job file {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise JobError(f"{path} is not a job file: it is not text") from error
    except (ValueError, RecursionError) as error:  # also numbers of thousands of digits, and endless nesting
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise JobError(f"{path} is not valid {kind}: {error}") from error


def parse(item: Any, folder: Path = Path(), *, blank: bool = False, **overrides: Any) -> tuple[Job, Plan]:
    """A job file's content to a Job and a Plan; folder: from where a file of filters is meant. Raises JobError."""
    top = _section(item, "", "the job file")
    model_part, records, privacy = (
        _section(top.get(key, {}), key, f"[{key}]") for key in ("model", "records", "privacy")
    )
    plan = _plan(top.get("server", {}), privacy, overrides)

    name = _get(top, "name", str, "name")
    target = _get(records, "target", str, "[records] target", "label")
    labels = _get(records, "labels", int, "[records] labels", None if target == "label" else 0)
    window = _get(records, "window", int, "[records] window")
    features = _get(records, "features", str, "[records] features", "imu45")
    block = _get(records, "block", int, "[records] block", 0)
    horizon = _get(records, "horizon", int, "[records] horizon", 0)
    try:
        shapes = convolution.shapes_of(records["convolution"]) if "convolution" in records else ()
        inputs, outputs = fronts.sizes(features, target, window, block, horizon, shapes)
        filters = _filters(records, shapes, folder, blank)
    except (fronts.FrontError, convolution.ConvolutionError) as error:
        raise JobError(f"[records] {error}") from error
    hidden = model_part.get("hidden", [])
    if not isinstance(hidden, list) or not all(type(width) is int for width in hidden):
        raise JobError("[model] hidden must be a list of whole numbers, such as [32]")
    model = _model([inputs, *hidden, outputs or labels], {"loss": "squared" if outputs else "softmax", **model_part})
    if model_part.get("frozen") and not plan.start:
        raise JobError(
            "[model] frozen needs [server] start: frozen layers keep the weights that picofed pretrain writes"
        )

    local: dict[str, Any] = {}
    steps = 1
    if "local" in top:
        part = _section(top["local"], "local", "[local]")
        steps = _get(part, "steps", int, "[local] steps")
        rate = _get(part, "learning_rate", float, "[local] learning_rate")
        multiplier, shift = fit_step(rate, _get(part, "records", int, "[local] records"), model)
        local = {"mode": "local", "steps": steps, "multiplier": multiplier, "shift": shift}

    clip, log2_sigma, shift, bits = _release(privacy, plan, steps, len(model.trainable), bool(local))
    job = Job(
        name=name,
        model=model,
        clip=clip,
        log2_sigma=log2_sigma,
        window=window,
        stride=_get(records, "stride", int, "[records] stride", window),
        labels=labels,
        round_shift=shift,
        mask_bits=bits,
        masks="pairwise" if plan.masks == "pairwise" else "",
        features=features,
        unit=_get(records, "unit", str, "[records] unit", "window"),
        channels=_get(records, "channels", int, "[records] channels", fronts.CHANNELS),
        target=target,
        block=block,
        horizon=horizon,
        filters=filters,
        **local,
    )
    return job, plan


def filters_path(path: Path) -> Path:
    """The file that `filters` of a job file with a convolution names."""
    return path.parent / str(read(path)["records"]["filters"])


def _filters(records: Mapping[str, Any], shapes: Sequence[convolution.Shape], folder: Path, blank: bool) -> bytes:
    """The bytes of the convolutions, if there are any."""
    if not shapes:
        if "filters" in records:
            raise JobError("[records] filters needs convolution: the layers that the file holds")
        return b""
    name = _get(records, "filters", str, "[records] filters")
    return convolution.blank(shapes) if blank else convolution.load(folder / name, shapes)


def _noise(privacy: Mapping[str, Any], plan: Plan, steps: int, parameters: int) -> tuple[int, int]:
    """Clipping norm and log2 sigma, as given or as they follow from epsilon."""
    if plan.epsilon is None:
        if "clip_norm" not in privacy:
            raise JobError("[privacy] must say epsilon, or clip_norm and log2_sigma: nothing is released without noise")
        clip = _get(privacy, "clip_norm", int, "[privacy] clip_norm")
        log2_sigma = _get(privacy, "log2_sigma", int, "[privacy] log2_sigma")
        if clip <= 0 or log2_sigma <= 0:  # Job knows 0 and 0 as the baseline without privacy
            raise JobError("[privacy] clip_norm and log2_sigma must be above 0: nothing is released without noise")
        return clip, log2_sigma
    if "log2_sigma" in privacy and "clip_norm" not in privacy:
        log2_sigma = _get(privacy, "log2_sigma", int, "[privacy] log2_sigma")
        return accounting.plan(plan.epsilon, plan.delta, plan.rounds, log2_sigma, steps, parameters), log2_sigma
    records = _get(privacy, "records", int, "[privacy] records", 0)
    boards = _get(privacy, "boards", int, "[privacy] boards", 0)
    if not (0 <= records < 1 << 32 and 0 <= boards < 1 << 32):
        raise JobError("[privacy] records and boards are counts: 0 (not known) or more")
    return fit_noise(
        plan.epsilon,
        plan.delta,
        plan.rounds,
        steps=steps,
        records=records,
        boards=boards,
        parameters=parameters,
    )


def _release(
    privacy: Mapping[str, Any], plan: Plan, steps: int, parameters: int, local: bool
) -> tuple[int, int, int, int]:
    """Clipping norm, log2 sigma, round_shift and mask_bits."""
    clip, log2_sigma = _noise(privacy, plan, steps, parameters)
    lower = 0 if plan.epsilon is None or "log2_sigma" in privacy else HALVINGS
    while True:
        try:
            return clip, log2_sigma, *_grid(privacy, plan, clip, log2_sigma, local)
        except WrapError:
            if lower == 0:
                raise
        lower, log2_sigma = lower - 1, log2_sigma - 1
        clip = accounting.plan(plan.epsilon or 0.0, plan.delta, plan.rounds, log2_sigma, steps, parameters)


def _grid(privacy: Mapping[str, Any], plan: Plan, clip: int, log2_sigma: int, local: bool) -> tuple[int, int]:
    """round_shift and mask_bits, as given or as they follow."""
    given = {
        name: _get(privacy, name, int, f"[privacy] {name}") if name in privacy else None
        for name in ("round_shift", "mask_bits")
    }
    shift = given["round_shift"]
    sound = LOG2_SIGMA[0] <= log2_sigma <= LOG2_SIGMA[1] and clip <= CLIP_NORM_MAX and 0 <= (shift or 0) <= 30
    if plan.masked and (local or not sound):
        return shift or 0, given["mask_bits"] or masking.BITS[0]  # whatever it is, the job says what is wrong
    if plan.masked:
        counts = {name: _get(privacy, name, int, f"[privacy] {name}", 0) for name in ("records", "boards")}
        spread = spread_by_age(plan, Noise(4.0**log2_sigma))
        return fit(
            clip,
            log2_sigma,
            round_shift=shift,
            bits=given["mask_bits"] or None,
            spread=spread,
            **counts,
        )
    # Post-processing: half a standard deviation is far finer than the noise, and costs a quarter of the bytes.
    return max(0, log2_sigma - 1) * (not local) if shift is None else shift, given["mask_bits"] or 0


def _section(item: Any, key: str, what: str) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise JobError(f"{what} must be a table of settings")
    for name in item:
        if name not in _SECTIONS[key]:
            raise JobError(f"{what} has no setting {name!r}: it knows {', '.join(_SECTIONS[key])}")
    return item


def _get(item: Mapping[str, Any], key: str, kind: type, what: str, default: Any = None) -> Any:
    value = item.get(key, default)
    if value is None:
        raise JobError(f"{what} is missing")
    if kind is float and type(value) is int:
        try:
            value = float(value)
        except OverflowError:
            raise JobError(f"{what} is out of range") from None
    if type(value) is not kind:
        raise JobError(f"{what} must be {_NAMES[kind]}, not {value!r}")
    return value


_NAMES: Final[Mapping[type, str]] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
}


def server_settings() -> list[str]:
    """What [server] knows: a Plan's settings but for those of [privacy]."""
    return [field.name for field in fields(Plan) if field.name not in ("epsilon", "delta")]


def _plan(server: Any, privacy: Mapping[str, Any], overrides: Mapping[str, Any]) -> Plan:
    if not isinstance(server, dict):
        raise JobError("[server] must be a table of settings")
    hints = typing.get_type_hints(Plan)
    values = dict(server)
    for key in ("epsilon", "delta"):
        if key in values:
            raise JobError(f"{key} belongs to [privacy]")
        if key in privacy:
            values[key] = privacy[key]
    if "clip_norm" in privacy and "epsilon" in privacy:
        raise JobError("[privacy] has both clip_norm and epsilon: give one, the other follows from it")
    values.update({key: value for key, value in overrides.items() if value is not None})
    for key in list(values):
        if key not in hints:
            raise JobError(f"[server] has no setting {key!r}: it knows {', '.join(server_settings())}")
        hint = hints[key]
        kind = next(k for k in typing.get_args(hint) if k is not types.NoneType) if typing.get_args(hint) else hint
        values[key] = _get(values, key, kind, key)
    if "learning_rate" not in values and values.get("optimiser") in RATES:
        values["learning_rate"] = RATES[values["optimiser"]]
    return Plan(**values)


def _model(widths: Sequence[int], part: Mapping[str, Any]) -> Model:
    loss = _get(part, "loss", str, "[model] loss", "softmax")
    dense = Model.dense(widths, loss)
    if "frozen" in part:
        return _frozen(dense, part)
    if "train" not in part:
        return dense
    entries = part["train"]
    if not isinstance(entries, list) or len(entries) != len(dense.trained):
        raise JobError(f"[model] train must be a list with one entry for each of the {len(dense.trained)} layers")
    trained: list[Rectangle | None] = []
    for number, entry in enumerate(entries):
        if entry is False:
            trained.append(None)
        elif entry is True:
            trained.append(dense.trained[number])
        elif isinstance(entry, dict):
            trained.append(_rectangle(entry, widths[number + 1], widths[number], number))
        else:
            raise JobError(f"[model] train, layer {number}: true, false or a table with rows, columns, bias")
    return Model(tuple(widths), loss, tuple(trained))


def _frozen(dense: Model, part: Mapping[str, Any]) -> Model:
    frozen = _get(part, "frozen", int, "[model] frozen")
    if "train" in part:
        raise JobError("[model] has both frozen and train: give one, frozen is short for false, ..., true")
    if not 0 <= frozen < len(dense.trained):
        raise JobError(f"[model] frozen must leave one of the {len(dense.trained)} layers to train, not be {frozen}")
    return Model(dense.widths, dense.loss, (None,) * frozen + dense.trained[frozen:])


def _rectangle(entry: Mapping[str, Any], rows: int, columns: int, number: int) -> Rectangle:
    for key in entry:
        if key not in ("rows", "columns", "bias"):
            raise JobError(f"[model] train, layer {number} has no setting {key!r}: it knows rows, columns, bias")
    ends: dict[str, list[int]] = {}
    for key, default in (("rows", [0, rows]), ("columns", [0, columns])):
        pair = entry.get(key, default)
        if not isinstance(pair, list) or len(pair) != 2 or not all(type(end) is int for end in pair):
            raise JobError(f"[model] train, layer {number}: {key} is [first, one past the last]")
        ends[key] = pair
    bias = _get(entry, "bias", bool, f"[model] train, layer {number}: bias", True)
    return Rectangle(ends["rows"][0], ends["rows"][1], ends["columns"][0], ends["columns"][1], bias)
