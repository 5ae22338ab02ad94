"""Cross-validation: its runs, their scores, the processes that make them, and the plan."""
