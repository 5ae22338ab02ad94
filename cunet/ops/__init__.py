"""The mathematics of the U-Net: one file per operation, forward directly above backward.

Shape letters used in all files: images are (N, H, W, C) going in and (N, P, Q, K) coming out -
batch, rows, columns, channels - and filters are (R, S, C, K). Gradients are named dx, dw, db, dy:
the derivative of the loss by x, w, b, y, of the same shape.
"""
