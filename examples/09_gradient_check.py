"""Lesson 9: how to know that a hand-written backward is right - and where it is wrong.

Every derivative of the whole net is compared with a central difference of the loss, in float64.
Then one mistake is made on purpose, and the check says where to look.
Read beside it: cunet/net/gradcheck.py
"""

from unittest.mock import patch

import numpy as np

from cunet.net.gradcheck import LIMIT, check_net
from cunet.ops import crop_concat


def bar(error: float) -> str:
    """Longer is better: one mark for every factor of ten below 1."""
    return "#" * max(0, round(-np.log10(max(error, 1e-12)) * 2))


print("error = ||backward - measured|| / (||backward|| + ||measured||), 12 elements an array\n")
print("A U-Net of depth 2 and width 2 with dropout and weighted loss, in the order of the data:\n")
results = list(check_net(depth=2))
for result in results:
    print(f"  {result.array:24} {result.error:8.1e}  {bar(result.error)}")
worst = max(result.error for result in results)
verdict = "passed" if worst < LIMIT else "FAILED"
print(f"\n{len(results)} arrays, worst {worst:.1e}, limit {LIMIT:g}: {verdict}")


def forgetful(dy, up_channels):
    """crop-and-concatenate's backward by somebody who forgot the skip's gradient."""
    dup, dcentre = crop_backward(dy, up_channels)
    return dup, np.zeros_like(dcentre)


crop_backward = crop_concat.backward
with patch("cunet.ops.crop_concat.backward", forgetful):
    wrong = [result for result in check_net(depth=2) if result.error > LIMIT]
print("\nNow with a mistake: the gradient of the skip connections is left out.")
print(f"{len(wrong)} arrays fail:\n")
for result in wrong:
    print(f"  {result.array:24} {result.error:8.1e}")
first = wrong[-2].array.rpartition(".")[0]
print("\nBackward runs from the head through the bottom to the input, and all that it meets before")
print(f"{first} is right. That layer's output went two ways, down and across:")
print("one of the two gradients is missing.")
