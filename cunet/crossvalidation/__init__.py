"""Cross-validation: runs in folds, their scores, the processes that make them, and the whole."""
