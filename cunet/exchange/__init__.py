"""Networks in the files of other programs, and theirs as ours; every format written by hand."""
