"""Pixels counted one by one."""


def counted_directly(slices, threshold):
    """True positives, false positives, false negatives of (probability, truth, which count)."""
    tp = fp = fn = 0
    for probability, white, counted in slices:
        for p, truth, counts in zip(
            probability.ravel(), white.ravel(), counted.ravel(), strict=True
        ):
            if not counts:
                continue
            found = float(p) > threshold
            tp += bool(found and truth)
            fp += bool(found and not truth)
            fn += bool(truth and not found)
    return tp, fp, fn
