"""The mathematics of the U-Net: one file per operation, forward directly above backward.

Shape letters used in all files: images are (N, H, W, C) going in and (N, P, Q, K) coming out -
batch, rows, columns, channels - and filters are (R, S, C, K). Gradients are named dx, dw, db, dy:
the derivative of the loss by x, w, b, y, of the same shape. xp is the library that owns an array,
numpy or cupy: read it as np.

Words: logits are the scores of the classes before they become probabilities; the head is the last
1x1 convolution; the contracting path is the half of the net that pools, the expanding path the
other; a skip is the image that goes across from one to the other; a tile is an input image; the
ignore label marks pixels that do not count. Caffe is the framework the authors used: where the
paper is silent, its source decides.
"""
