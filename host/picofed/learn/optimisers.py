"""Server optimisers: what a version does with an aggregate. All of it is post-processing of releases, in
float64.

`step` takes the trainable weights and the mean gradient (in local mode: minus the mean change) and returns
the next weights. `state`/`load` carry the optimiser through the store, to the bit. A new one is a subclass with a
`name` and `move`; what it has to remember it keeps in `vectors` and `steps`, nothing else survives a restart.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import cbor2
import numpy as np
from numpy.typing import NDArray

from picofed.errors import PicofedError

Vector = NDArray[np.float64]


class OptimiserError(PicofedError):
    """A stored optimiser state does not belong to this optimiser."""


class Optimiser(ABC):
    """One rule with its state."""

    name: str

    def __init__(self, size: int, learning_rate: float) -> None:
        self.size = size
        self.straighten: Callable[[Vector], Vector] = lambda gradient: gradient  # learn.moments
        self.learning_rate = learning_rate
        self.steps = 0
        self.vectors: dict[str, Vector] = {}

    def step(self, weights: Vector, gradient: Vector) -> Vector:
        """The next weights. weights, gradient: float64[size]."""
        return self.move(weights, self.straighten(gradient))

    @abstractmethod
    def move(self, weights: Vector, gradient: Vector) -> Vector:
        """What `step` does with a gradient that has been straightened, if it is to be."""

    def state(self) -> bytes:
        """Everything that the next step depends on."""
        vectors = {name: vector.astype("<f8").tobytes() for name, vector in self.vectors.items()}
        return cbor2.dumps({"optimiser": self.name, "steps": self.steps, "vectors": vectors})

    def load(self, data: bytes) -> None:
        """Go on where `state` was taken. Raises OptimiserError."""
        try:
            item: Any = cbor2.loads(data)
            vectors = {name: np.frombuffer(item["vectors"][name], "<f8").copy() for name in self.vectors}
            name, steps = item["optimiser"], int(item["steps"])
        except (cbor2.CBORDecodeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise OptimiserError("the stored optimiser state is damaged: start a new job") from error
        if name != self.name or any(vector.shape != (self.size,) for vector in vectors.values()):
            raise OptimiserError(f"the stored versions were made with {name}: keep the optimiser, or rename the job")
        self.vectors, self.steps = vectors, steps


class Sgd(Optimiser):
    """SGD with momentum, v = momentum v + g; Nesterov's form steps along g + momentum v, the other along
    v.
    """

    name = "sgd"

    def __init__(self, size: int, learning_rate: float, *, momentum: float = 0.0, nesterov: bool = True) -> None:
        super().__init__(size, learning_rate)
        self.momentum = momentum
        self.nesterov = nesterov
        self.vectors = {"velocity": np.zeros(size)}

    def move(self, weights: Vector, gradient: Vector) -> Vector:
        """See Optimiser."""
        self.steps += 1
        velocity = self.momentum * self.vectors["velocity"] + gradient
        self.vectors["velocity"] = velocity
        direction = gradient + self.momentum * velocity if self.nesterov else velocity
        return weights - self.learning_rate * direction


class Adam(Optimiser):
    """Adam (Kingma & Ba 2015) with bias correction."""

    name = "adam"

    def __init__(
        self, size: int, learning_rate: float, *, beta1: float = 0.9, beta2: float = 0.99, tau: float = 1e-3
    ) -> None:
        super().__init__(size, learning_rate)
        self.beta1, self.beta2, self.tau = beta1, beta2, tau
        self.vectors = {"first": np.zeros(size), "second": np.zeros(size)}

    def second(self, gradient: Vector) -> Vector:
        """The next second moment."""
        return self.beta2 * self.vectors["second"] + (1 - self.beta2) * gradient**2

    def move(self, weights: Vector, gradient: Vector) -> Vector:
        """See Optimiser."""
        self.steps += 1
        first = self.beta1 * self.vectors["first"] + (1 - self.beta1) * gradient
        second = self.second(gradient)
        self.vectors = {"first": first, "second": second}
        scale = np.sqrt(second / (1 - self.beta2**self.steps)) + self.tau
        return weights - self.learning_rate * (first / (1 - self.beta1**self.steps)) / scale


class Yogi(Adam):
    """Yogi (Zaheer et al. 2018): the second moment moves by a bounded amount."""

    name = "yogi"

    def second(self, gradient: Vector) -> Vector:
        """v - (1 - beta2) sign(v - g^2) g^2."""
        square = gradient**2
        before = self.vectors["second"]
        return before - (1 - self.beta2) * np.sign(before - square) * square
