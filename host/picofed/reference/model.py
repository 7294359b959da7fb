"""Model descriptors (SPEC 7.1) and the orders of their parameters (7.2, 7.3), as index lists."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from picofed.native_errors import CoreArgumentError, CoreRangeError

LAYERS_MAX = 8
WIDTH_MAX = 1023
DELTA_MAX = 16383


class Loss(IntEnum):
    """PF_LOSS_*."""

    SOFTMAX = 0
    SQUARED = 1


@dataclass(frozen=True)
class Layer:
    """One matrix and its trained rectangle: rows x columns are ranges, empty in a frozen layer."""

    inputs: int
    outputs: int
    rows: range
    columns: range
    bias: bool
    first: bool

    @property
    def bias_activation(self) -> int:
        """1.0 in the format of the layer's inputs: Q7 or Q5."""
        return 128 if self.first else 32

    @property
    def trained(self) -> bool:
        """Whether anything in the layer is trained."""
        return len(self.rows) > 0

    @property
    def parameters(self) -> int:
        """Matrix and biases."""
        return self.outputs * (self.inputs + 1)


@dataclass(frozen=True)
class Model:
    """A parsed descriptor."""

    loss: Loss
    layers: tuple[Layer, ...]

    @property
    def inputs(self) -> int:
        """Width of the input."""
        return self.layers[0].inputs

    @property
    def outputs(self) -> int:
        """Width of the output: classes, or values to predict."""
        return self.layers[-1].outputs

    @property
    def parameters(self) -> int:
        """All parameters."""
        return sum(layer.parameters for layer in self.layers)

    def trainable(self) -> list[tuple[int, int, int | None]]:
        """(layer, row, column) of each trained parameter in the order of SPEC 7.3; column None is the bias."""
        order: list[tuple[int, int, int | None]] = []
        for number, layer in enumerate(self.layers):
            order += [(number, row, column) for row in layer.rows for column in layer.columns]
            if layer.bias:
                order += [(number, row, None) for row in layer.rows]
        return order

    def position(self, layer: int, row: int, column: int | None) -> int:
        """Index in the parameter vector of SPEC 7.2."""
        start = sum(before.parameters for before in self.layers[:layer])
        width = self.layers[layer].inputs
        if column is None:
            return start + width * self.layers[layer].outputs + row
        return start + width * row + column


def encode_model(model: Model) -> bytes:
    """The descriptor of a model."""
    widths = [model.inputs, *(layer.outputs for layer in model.layers)]
    out = bytes([1, model.loss, len(model.layers), 0]) + b"".join(w.to_bytes(2, "little") for w in widths)
    for layer in model.layers:
        bounds = (
            (layer.rows.start, layer.rows.stop, layer.columns.start, layer.columns.stop) if layer.trained else (0,) * 4
        )
        out += b"".join(bound.to_bytes(2, "little") for bound in bounds) + bytes([layer.bias and layer.trained, 0])
    return out


def parse_model(descriptor: bytes) -> Model:
    """A checked model. CoreArgumentError if malformed, CoreRangeError if the squared norm could reach 2^64."""
    try:
        model = _parse(bytes(descriptor))
    except (IndexError, ValueError) as error:
        raise CoreArgumentError(f"descriptor: {error}") from error
    worst = 0
    for layer in model.layers:
        if layer.trained:
            activations = len(layer.columns) * 127**2 + (layer.bias_activation**2 if layer.bias else 0)
            worst += len(layer.rows) * DELTA_MAX**2 * activations
    if worst >= 2**64:
        raise CoreRangeError("descriptor")
    return model


def _parse(data: bytes) -> Model:
    if len(data) < 4 or data[0] != 1 or data[3] != 0:
        raise ValueError("wrong header")
    loss, count = Loss(data[1]), data[2]
    if not 1 <= count <= LAYERS_MAX or len(data) != 4 + 2 * (count + 1) + 10 * count:
        raise ValueError("wrong number of layers or length")
    numbers = [int.from_bytes(data[i : i + 2], "little") for i in range(4, len(data), 2)]
    widths, rest = numbers[: count + 1], numbers[count + 1 :]
    if not all(1 <= width <= WIDTH_MAX for width in widths):
        raise ValueError("a width outside 1..1023")
    if loss is Loss.SOFTMAX and not 2 <= widths[-1] <= 255:
        raise ValueError("a number of classes outside 2..255")
    layers: list[Layer] = []
    for i in range(count):
        row, row_end, column, column_end, flags = rest[5 * i : 5 * i + 5]
        if flags not in (0, 1):
            raise ValueError("wrong bias flag")
        frozen = not any((row, row_end, column, column_end, flags))
        if not frozen and not (row < row_end <= widths[i + 1] and column <= column_end <= widths[i]):
            raise ValueError("a trained rectangle outside its matrix")
        if not frozen and column == column_end and not (flags and column == 0):
            raise ValueError("a trained rectangle without columns")
        rows, columns = range(row, row_end), range(column, column_end)
        layers.append(Layer(widths[i], widths[i + 1], rows, columns, bool(flags), i == 0))
    if not any(layer.trained for layer in layers):
        raise ValueError("nothing is trained")
    return Model(loss, tuple(layers))
