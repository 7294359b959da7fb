"""Benchmarks of whole fleets: `picofed bench` (docs/benchmark-ftte.md)."""
