"""Volumes beyond memory and machine: segmented block by block, resumed, shared out, joined."""
