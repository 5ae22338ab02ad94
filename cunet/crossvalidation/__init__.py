"""Cross-validation: runs in folds, their scores, and the processes that make them."""
