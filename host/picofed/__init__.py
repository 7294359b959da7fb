"""picofed: private federated learning on microcontrollers."""

__version__ = "0.1.0"
