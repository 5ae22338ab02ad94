"""The recorded pass: layers and shapes, gradients by finite differences and by loops, numbers."""

import math

import numpy as np
import pytest
from random_nets import VARIANTS, random_net

import cunet
from cunet.data.labels import IGNORE
from cunet.engines import definition
from cunet.net.checkpoint import copy_of, learned
from cunet.net.figure1 import rows
from cunet.tracing.layers import Layer
from cunet.tracing.recording import Recorder

NETS = pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)


def image_for(net, height=30, width=34, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, net.shape.in_channels)).astype(np.uint8)


def labels_for(net, image, seed=1):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, net.shape.classes, image.shape[:2]).astype(np.uint8)
    labels[:3, :4] = IGNORE
    labels[5, 5] = 1
    return labels


def tile_of(traced):
    """What the network was shown, (1, H, W, C)."""
    cut = traced.picture.image[traced.down.seen][:, traced.across.seen]
    net = traced.model.net
    return net.normalization.apply(cut, net.dtype)[None]


def all_labels(traced):
    """The labels of all output pixels, IGNORE beyond the image."""
    sides = [side.tile - 2 * side.lost for side in (traced.down, traced.across)]
    labels = np.full((1, *sides), IGNORE, np.uint8)
    labels[0, : traced.labels.shape[0], : traced.labels.shape[1]] = traced.labels
    return labels


@NETS
def test_layers_have_the_names_and_shapes_of_figure_1(settings):
    net = random_net(**settings)
    traced = cunet.trace(net, image_for(net, 28, 28))
    assert traced.down.tile == traced.across.tile
    expected = [(row.name, row.shape) for row in rows(net.shape, traced.down.tile)]
    found = [(layer.name, layer.output.shape) for layer in traced.layers]
    assert [one for one in found if not one[0].endswith(".norm")] == expected
    for layer in traced.layers:
        assert layer.gradient.shape == layer.output.shape
        if layer.name.endswith(".norm"):
            assert traced[layer.name.removesuffix(".norm")].output.shape == layer.output.shape
    normed = sum(name.endswith(".norm") for name, _ in found)
    assert normed == (4 * net.shape.depth + 2 if net.shape.batch_norm else 0)


@NETS
def test_a_pass_is_that_of_the_network_itself_which_stays_as_it_is(settings):
    net = random_net(**settings, dtype="float64")
    before = {name: value.copy() for name, value in learned(net).items()}
    image = image_for(net)
    traced = cunet.trace(net, image, truth=labels_for(net, image))
    for name, value in learned(net).items():
        np.testing.assert_array_equal(value, before[name])
    seen = {}
    logits, backward = net(tile_of(traced), watch=lambda name, y: seen.update({name: y[0]}))
    loss, dlogits = net.loss(logits, all_labels(traced), None, IGNORE)
    assert loss == pytest.approx(traced.loss, rel=1e-12)
    dx = backward(dlogits, input_gradient=True)
    np.testing.assert_allclose(traced["input"].gradient, dx[0], rtol=1e-7, atol=1e-12)
    for name, y in seen.items():
        last = f"{name}.norm" if f"{name}.norm" in {one.name for one in traced.layers} else name
        np.testing.assert_allclose(traced[last].output, y, rtol=1e-7, atol=1e-9)
    for p in net.parameters():
        layer, _, kind = p.name.rpartition(".")
        if kind in ("filters", "gamma"):
            layer += ".norm" if kind == "gamma" else ""
            np.testing.assert_allclose(
                traced[layer].weight_gradient, p.grad, rtol=1e-6, atol=1e-11, err_msg=p.name
            )
            np.testing.assert_array_equal(traced[layer].weights, p.value)


class Pushed(Recorder):
    """An engine that adds something to the output of one layer, or to what comes along a skip."""

    def __init__(self, number, index, step, skip=False):
        super().__init__()
        self.number, self.index, self.step, self.skip, self.tuples = number, index, step, skip, 0

    def _forward(self, note):
        if not self.skip and len(self.notes) == self.number:
            note.y[self.index] += self.step
        return super()._forward(note)

    def conv_forward(self, x, *more, **named):
        if isinstance(x, tuple):
            if self.skip and self.tuples == self.number:
                beside = x[1].copy()
                beside[self.index] += self.step
                x = x[0], beside
            self.tuples += 1
        return super().conv_forward(x, *more, **named)


def difference(traced, number, index, skip=False, step=1e-7):
    """The loss's derivative by one number inside the network, by central differences."""
    losses = []
    for sign in (1, -1):
        copy = copy_of(traced.model.net, Pushed(number, (0, *index), sign * step, skip))
        logits = copy(tile_of(traced), remember=True)[0]
        losses.append(copy.loss(logits, all_labels(traced), None, IGNORE)[0])
    return (losses[0] - losses[1]) / (2 * step)


def some(rng, output, gradient, count=3):
    """Indices: where the gradient is largest, and random ones; none where the output is 0, since
    four zeros are a tie in the pooling behind them, at which the loss has a kink."""
    smooth = np.argwhere(output != 0)
    sizes = np.abs(gradient[tuple(smooth.T)])
    for one in (sizes.argmax(), *rng.integers(len(smooth), size=count)):
        yield tuple(smooth[one])


@NETS
def test_gradients_of_outputs_are_what_finite_differences_find(settings):
    net, rng = random_net(**settings, dtype="float64", seed=3), np.random.default_rng(5)
    image = image_for(net, 12, 14)
    traced = cunet.trace(net, image, truth=labels_for(net, image))
    called = [one for one in traced.layers if one.kind not in ("image", "concat")]
    for number, layer in enumerate(called):
        for index in some(rng, layer.output, layer.gradient):
            found = difference(traced, number, index)
            assert found == pytest.approx(layer.gradient[index], rel=1e-4, abs=2e-8), layer.name


@NETS
def test_the_gradient_of_a_concatenation_has_that_of_both_its_parts(settings):
    net, rng = random_net(**settings, dtype="float64", seed=3), np.random.default_rng(5)
    image = image_for(net, 12, 14)
    traced = cunet.trace(net, image, truth=labels_for(net, image))
    together = [one for one in traced.layers if one.kind == "concat"]
    assert [one.name for one in together] == ["expand1.concat", "expand0.concat"]
    for number, layer in enumerate(together):
        first = layer.up_channels
        above = traced[layer.name.replace("concat", "up")]
        np.testing.assert_array_equal(layer.gradient[..., :first], above.gradient)
        np.testing.assert_array_equal(layer.output[..., :first], above.output)
        part = layer.gradient[..., first:]
        for index in some(rng, layer.output[..., first:], part):
            found = difference(traced, number, index, skip=True)
            assert found == pytest.approx(part[index], rel=1e-4, abs=2e-8)
        numbers = layer.numbers(1)["gradient"]
        squares = [sum(float(v) ** 2 for v in p.ravel()) for p in (above.gradient, part)]
        assert numbers["norm_of_upsampled"] ** 2 == pytest.approx(squares[0])
        assert numbers["norm_of_skip"] ** 2 == pytest.approx(squares[1])


def test_gradients_of_filters_follow_from_what_is_shown_by_loops():
    net = random_net(width=1, depth=1, dtype="float64", in_channels=2)
    traced = cunet.trace(net, image_for(net, 6, 8))
    below = dict(zip([one.name for one in traced.layers][1:], traced.layers, strict=False))
    for name in ("contract0.conv1", "contract1.conv2", "expand0.conv1", "head"):
        layer, x = traced[name], below[name].output
        dy = layer.gradient * ((layer.output > 0) if layer.relu else 1)
        size = layer.weights.shape[0]
        expected = np.zeros_like(layer.weights)
        for r, s, c, k in np.ndindex(*layer.weights.shape):
            for p in range(dy.shape[0]):
                for q in range(dy.shape[1]):
                    expected[r, s, c, k] += x[p + r, q + s, c] * dy[p, q, k]
        assert size == (1 if name == "head" else 3)
        np.testing.assert_allclose(layer.weight_gradient, expected, rtol=1e-9, atol=1e-14)


def test_a_gradient_summed_over_the_pixels_is_that_of_the_bias():
    net = random_net(dtype="float64")
    traced = cunet.trace(net, image_for(net))
    copy = copy_of(net, definition)
    logits, backward = copy(tile_of(traced))
    backward(copy.loss(logits, all_labels(traced), None, IGNORE)[1])
    for p in copy.parameters():
        if p.name.endswith("biases"):
            layer = traced[p.name.removesuffix(".biases")]
            passed = layer.gradient * ((layer.output > 0) if layer.relu else 1)
            np.testing.assert_allclose(passed.sum((0, 1)), p.grad, rtol=1e-9, atol=1e-14)


def test_numbers_are_those_of_plain_sums():
    rng = np.random.default_rng(2)
    output, gradient = rng.standard_normal((2, 5, 7, 3)).astype("float32")
    output[output < 0] = 0
    output[..., 1] = 0
    weights, change = rng.standard_normal((2, 3, 3, 2, 3))
    found = Layer("a", "conv", output, gradient, True, weights, change).numbers(0.25)
    values = [float(v) for v in output.ravel()]
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / len(values))
    assert found["output"]["mean"] == pytest.approx(mean)
    assert found["output"]["deviation"] == pytest.approx(deviation)
    assert found["output"]["zeros"] == sum(v == 0 for v in values) / len(values)
    assert found["output"]["dead_channels"] == 1
    norms = [math.sqrt(sum(float(v) ** 2 for v in a.ravel())) for a in (gradient, weights, change)]
    assert found["gradient"]["norm"] == pytest.approx(norms[0])
    assert found["weights"]["norm"] == pytest.approx(norms[1])
    assert found["weights"]["gradient_norm"] == pytest.approx(norms[2])
    assert found["weights"]["relative_update"] == pytest.approx(0.25 * norms[2] / norms[1])
    without = Layer("b", "up-conv", output, gradient).numbers(0.25)
    assert without["weights"] is None and without["output"]["zeros"] is None


def test_the_channels_shown_vary_most_and_least():
    output = np.zeros((4, 4, 6))
    for channel, size in enumerate((3, 0, 5, 1, 4, 2)):
        output[0, 0, channel] = size
    layer = Layer("a", "conv", output, output, True)
    assert layer.channels(3, 1) == [2, 4, 0, 1]
    assert layer.channels(2, 2) == [2, 4, 3, 1]
    assert layer.channels(5, 1) == layer.channels(9, 9) == [2, 4, 0, 5, 3, 1]
    assert layer.dead.tolist() == [False, True, False, False, False, False]


def test_a_channel_that_cannot_rise_above_0_is_found_dead():
    net = random_net(width=4)
    net.levels[0].contract[1].b.value[2] = -1e6
    traced = cunet.trace(net, image_for(net))
    assert traced["contract0.conv2"].dead.tolist() == [False, False, True, False]
    numbers = {one["name"]: one for one in traced.document()["layers"]}
    assert numbers["contract0.conv2"]["output"]["dead_channels"] == 1
    assert not traced["contract0.conv2"].weight_gradient[..., 2].any()


def test_without_truth_the_labels_are_the_most_probable_classes():
    net = random_net(classes=4, in_channels=3)
    traced = cunet.trace(net, image_for(net))
    np.testing.assert_array_equal(traced.labels, traced.probability.argmax(2))
    assert traced.document()["loss_against"] == "its own most probable classes"


def test_truth_counts_in_the_image_alone_and_not_where_it_says_ignore():
    net = random_net(dtype="float64")
    image = image_for(net, 20, 21)
    labels = labels_for(net, image)
    traced = cunet.trace(net, image, truth=labels)
    np.testing.assert_array_equal(traced.labels, labels)
    p = traced.probability
    counted = [(y, x) for y, x in np.ndindex(20, 21) if labels[y, x] != IGNORE]
    loss = -sum(math.log(p[y, x, labels[y, x]]) for y, x in counted) / len(counted)
    assert traced.loss == pytest.approx(loss, rel=1e-9)
    assert not traced["head"].gradient[20:].any() and not traced["head"].gradient[:, 21:].any()
    assert not traced["head"].gradient[:3, :4].any()


def test_a_layer_that_is_not_there_is_named():
    net = random_net()
    with pytest.raises(cunet.CunetError, match="contract9.*did you mean|expected one of"):
        cunet.trace(net, image_for(net))["contract9.conv1"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("scale", "said"), [(1e30, "returns NaN"), (1e20, "gradients are NaN")])
def test_numbers_that_went_wrong_are_told(scale, said):
    net = random_net()
    image = image_for(net)
    first, second = net.levels[0].expand
    for layer in (net.head, second, *([first] if scale > 1e20 else [])):
        layer.w.value *= np.float32(scale)
    if scale == 1e20:  # the logits are of a usual size, gradients inside are not
        for p in (first.w, first.b, second.b):
            p.value *= np.float32(1 / scale)
    with pytest.raises(cunet.CunetError, match=said) as caught:
        cunet.trace(net, image, truth=labels_for(net, image))
    assert caught.value.exit_code == 5


def test_a_network_on_a_device_is_traced_there(emulated, tmp_path):
    net, path = random_net(width=8), tmp_path / "net.npz"
    cunet.save(path, net)
    image = image_for(net)
    here, there = cunet.trace(net, image), cunet.trace(path, image, device="cuda")
    assert there.model.net.device.startswith("cuda")
    assert there.loss == pytest.approx(here.loss, rel=1e-4)
    for one, two in zip(here.layers, there.layers, strict=True):
        assert isinstance(two.output, np.ndarray) and isinstance(two.gradient, np.ndarray)
        np.testing.assert_allclose(two.output, one.output, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(two.gradient, one.gradient, rtol=1e-2, atol=1e-6)
    assert there.field.measured == here.field.measured
    assert [s.changed for s in there.skips] == [s.changed for s in here.skips]
