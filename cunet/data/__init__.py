"""Images, labels and data sets: reading, checking, writing, augmentation."""
