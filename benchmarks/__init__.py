"""Speed, as ratios of interleaved runs: ``python -m benchmarks``. Times on shared machines mean little."""
