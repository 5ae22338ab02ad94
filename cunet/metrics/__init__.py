"""Scores of a segmentation: a file for each family of them."""
