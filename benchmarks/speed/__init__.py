"""Benchmarks of fgbench's own code with pytest-benchmark: `pytest --benchmark-only`.

Each holds a speed ratio within one run. Nothing imports this room; it may import every other.
"""
