"""The parts of the ready Python runtime."""
