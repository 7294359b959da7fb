"""Boards: ports, flashing, provisioning, emulation."""
