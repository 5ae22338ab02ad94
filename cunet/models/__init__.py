"""Trained networks by name: those that come with cunet, in wheels, in folders, and in an index."""
