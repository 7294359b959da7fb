"""The simulator: fleets of any size in virtual time, every client the compiled core (docs/simulation.md)."""
