"""Cycles of the core on a Cortex-M0+: the model (cortex_m0), the build (build) and what is measured (workload)."""
