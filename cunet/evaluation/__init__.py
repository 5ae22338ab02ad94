"""Predictions paired with truth: files or arrays in, the scores of cunet.metrics out."""
