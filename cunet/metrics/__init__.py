"""Scores of a segmentation, one file per family."""
