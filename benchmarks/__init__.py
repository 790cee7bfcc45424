"""What choices cost: speed, as ratios of interleaved runs (``python -m benchmarks``; times on
shared machines mean little), and the unit of the gate (``python -m benchmarks.gate_units``).
"""
