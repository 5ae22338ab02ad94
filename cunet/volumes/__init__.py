"""Volumes that no memory holds: segmented and numbered block by block."""
