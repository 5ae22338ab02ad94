"""Data sets: reading and checking them, augmentation, weight maps, another size."""
