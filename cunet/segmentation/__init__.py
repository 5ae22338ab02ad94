"""From an image to its segmentation: tiles, product files, objects."""
