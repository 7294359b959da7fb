"""picofed: private federated learning on microcontrollers."""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """picofed.simulate, imported only where it is asked for: it needs the compiled core."""
    if name == "simulate":
        from picofed.simulation.api import simulate

        return simulate
    raise AttributeError(f"module 'picofed' has no attribute {name!r}")
