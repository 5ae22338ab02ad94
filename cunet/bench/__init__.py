"""Benchmarks: times, memory and agreement, alone or in pairs with PyTorch."""
