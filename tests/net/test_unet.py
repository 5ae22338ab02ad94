"""The network: its layers and numbers, and the whole of it against one made from the oracle."""

import gc
import weakref

import numpy as np
import oracle_net
import pytest

import cunet
from cunet.engines import definition
from cunet.errors import CunetError
from cunet.net.unet import UNet


@pytest.fixture(scope="module")
def paper_net():
    return UNet()


def count(net):
    return sum(p.value.size for p in net.parameters())


def test_the_papers_net_has_31030658_parameters_in_23_layers(paper_net):
    assert count(paper_net) == 31_030_658
    assert len(paper_net.layers()) == 23 and len(paper_net.parameters()) == 46


def test_the_releases_net_has_31100354_parameters():
    assert count(UNet(variant="release2015")) == 31_100_354


@pytest.mark.parametrize(
    "width,depth,channels,classes,variant",
    [(64, 4, 1, 2, "paper"), (3, 1, 2, 5, "paper"), (2, 3, 3, 2, "release2015")],
)
def test_parameters_in_the_order_in_which_data_meets_them(width, depth, channels, classes, variant):
    net = UNet(width, depth, channels, classes, variant=variant)
    expected = []
    for name, shape in oracle_net.layer_shapes(width, depth, channels, classes, variant).items():
        expected += [(f"{name}.filters", shape, 1, 1), (f"{name}.biases", shape[3:], 2, 0)]
    found = [(p.name, p.value.shape, p.lr_mult, p.decay_mult) for p in net.parameters()]
    assert found == expected
    for p in net.parameters():
        assert p.grad.shape == p.value.shape and p.grad.dtype == p.value.dtype == np.float32
        assert not p.grad.any()


def test_the_layers_are_met_in_that_order():
    net, met = UNet(width=2, depth=2, dropout=0), []
    net(
        np.zeros((1, 44, 44, 1), np.float32), remember=False, watch=lambda name, y: met.append(name)
    )
    assert met == list(oracle_net.layer_shapes(2, 2, 1, 2))


def test_he_initialization(paper_net):
    for p in paper_net.parameters():
        if p.name.endswith("biases"):
            assert not p.value.any()
            continue
        taps = 1 if ".up" in p.name else p.value.shape[0] * p.value.shape[1]
        expected = np.sqrt(2 / (taps * p.value.shape[2]))
        n = p.value.size
        assert p.value.std(dtype="float64") == pytest.approx(expected, rel=5 / np.sqrt(2 * n)), (
            p.name
        )
        assert abs(p.value.mean(dtype="float64")) < 5 * expected / np.sqrt(n), p.name
        within = (np.abs(p.value) < expected).mean()  # of a normal distribution
        assert within == pytest.approx(0.6827, abs=5 * 0.466 / np.sqrt(n)), p.name


def test_both_dtypes_start_from_the_same_numbers_and_seeds_differ():
    single, double, other = (
        UNet(3, 2, dtype=dtype, seed=seed)
        for dtype, seed in (("float32", 5), ("float64", 5), ("float64", 6))
    )
    for a, b, c in zip(single.parameters(), double.parameters(), other.parameters(), strict=True):
        assert b.value.dtype == np.float64
        np.testing.assert_array_equal(a.value, b.value.astype(np.float32))
        if a.name.endswith("filters"):
            assert not np.array_equal(b.value, c.value)


# The whole net against the oracle


def random_net(depth, variant="paper", dropout=0.5, width=2, dtype="float64", **more):
    """A net whose biases are not zero."""
    net = UNet(width, depth, dropout=dropout, variant=variant, dtype=dtype, **more)
    rng = np.random.default_rng(1)
    for p in net.parameters():
        if p.name.endswith("biases"):
            p.value[...] = 0.3 * np.abs(rng.standard_normal(p.value.shape))  # few dead channels
    return net


def oracle_of(net):
    arrays, shape = [p.value for p in net.parameters()], net.shape
    sizes = shape.width, shape.depth, shape.in_channels, shape.classes
    names = oracle_net.layer_shapes(*sizes, shape.variant)
    pairs = zip(arrays[::2], arrays[1::2], strict=True)
    layers = dict(zip(names, pairs, strict=True))
    return oracle_net.Net(layers, shape.depth, shape.variant, shape.dropout)


@pytest.mark.parametrize(
    "depth,variant,dropout,shape,dtype",
    [
        (1, "paper", 0.0, (2, 20, 22, 2), "float64"),
        (1, "paper", 0.4, (2, 20, 18, 2), "float64"),
        (1, "release2015", 0.0, (2, 18, 20, 2), "float64"),
        (1, "release2015", 0.5, (2, 18, 20, 2), "float64"),
        (1, "paper", 0.4, (2, 20, 18, 2), "float32"),
        (1, "release2015", 0.0, (2, 18, 20, 2), "float32"),
        (2, "paper", 0.25, (2, 44, 44, 1), "float64"),
        (2, "release2015", 0.0, (2, 44, 44, 1), "float64"),
    ],
)
def test_the_whole_net_and_its_gradient(depth, variant, dropout, shape, dtype):
    rng = np.random.default_rng(2)
    net = random_net(depth, variant, dropout, 2, dtype, in_channels=shape[3], classes=3, seed=0)
    expected = oracle_of(net)
    x = rng.standard_normal(shape).astype(dtype)
    x.flags.writeable = False
    keys = [int(k) for k in np.random.default_rng(9).integers(2**64, size=2, dtype=np.uint64)]
    logits, backward = net(x, rng=np.random.default_rng(9))
    reference = expected.forward(x, keys if dropout else ())
    close = {"rtol": 0, "atol": 1e-12 if dtype == "float64" else 2e-5}
    assert logits.dtype == dtype
    np.testing.assert_allclose(logits, reference, **close)
    dlogits = rng.standard_normal(logits.shape).astype(dtype)
    dlogits.flags.writeable = False
    dx = backward(dlogits, input_gradient=True)
    np.testing.assert_allclose(dx, expected.backward(dlogits), **close)
    gradients = [array for name in expected.parameters for array in expected.grads[name]]
    for p, gradient in zip(net.parameters(), gradients, strict=True):
        largest = max(1, np.abs(gradient).max())
        np.testing.assert_allclose(p.grad / largest, gradient / largest, err_msg=p.name, **close)
        assert np.abs(gradient).max() > 1e-3, "a gradient of nothing compares nothing"


def test_dropout_needs_a_generator():
    net = random_net(1)
    x = np.random.default_rng(0).standard_normal((1, 18, 18, 1))
    plain, without = net(x)[0], random_net(1, dropout=0.0)(x, rng=np.random.default_rng(0))[0]
    np.testing.assert_array_equal(plain, without)
    dropped = [net(x, rng=np.random.default_rng(seed))[0] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(dropped[0], dropped[1])
    assert not np.array_equal(dropped[0], dropped[2]) and not np.array_equal(dropped[0], plain)


def test_the_input_gradient_only_on_request():
    net = random_net(1)
    x = np.random.default_rng(0).standard_normal((1, 18, 18, 1))
    logits, backward = net(x)
    assert backward(np.ones_like(logits)) is None
    without = [p.grad.copy() for p in net.parameters()]
    for p in net.parameters():
        p.grad.fill(0)
    assert backward(np.ones_like(logits), input_gradient=True).shape == x.shape
    for p, expected in zip(net.parameters(), without, strict=True):
        np.testing.assert_array_equal(p.grad, expected)


def test_gradients_add_up():
    net = random_net(1)
    rng = np.random.default_rng(0)
    passes = [rng.standard_normal((n, 18, 18, 1)) for n in (1, 2)]
    singles = []
    for x in passes:
        logits, backward = net(x)
        backward(np.sin(logits))
        singles.append([p.grad.copy() for p in net.parameters()])
        for p in net.parameters():
            p.grad.fill(0)
    for x in passes:
        logits, backward = net(x)
        backward(np.sin(logits))
    for p, one, two in zip(net.parameters(), *singles, strict=True):
        np.testing.assert_allclose(p.grad, one + two, rtol=0, atol=1e-12)
    for p in net.parameters():
        p.grad.fill(0)
    logits, backward = net(np.concatenate(passes))
    backward(np.sin(logits))
    for p, one, two in zip(net.parameters(), *singles, strict=True):
        np.testing.assert_allclose(p.grad, one + two, rtol=0, atol=1e-12)


def test_inference_gives_the_same_and_keeps_nothing():
    net = random_net(2, width=3, dtype="float32")
    x = np.random.default_rng(0).standard_normal((1, 44, 48, 1)).astype(np.float32)
    outputs = []

    def watch(name, y):
        outputs.append(weakref.ref(y))

    gc.disable()  # nothing may wait for the collector of cycles
    try:
        logits = net(x, remember=False, watch=watch)
        assert len(outputs) == 13 and outputs[-1]() is logits
        assert all(output() is None for output in outputs[:-1])
        outputs.clear()
        remembered, backward = net(x, watch=watch)
        assert sum(output() is not None for output in outputs) == 13
        np.testing.assert_array_equal(remembered, logits)
        backward(remembered)
        del backward
        assert all(output() is None for output in outputs[:-1])
    finally:
        gc.enable()


def test_backward_leaves_the_arrays_it_was_given():
    net = random_net(1)
    x = np.random.default_rng(0).standard_normal((1, 18, 18, 1))
    before, values = x.copy(), [p.value.copy() for p in net.parameters()]
    logits, backward = net(x)
    dlogits = np.cos(logits)
    kept = logits.copy(), dlogits.copy()
    first = backward(dlogits, input_gradient=True)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(logits, kept[0])
    np.testing.assert_array_equal(dlogits, kept[1])
    for p, value in zip(net.parameters(), values, strict=True):
        np.testing.assert_array_equal(p.value, value)
    np.testing.assert_array_equal(backward(dlogits, input_gradient=True), first)


# Errors


@pytest.mark.parametrize(
    "x,said",
    [
        (np.zeros((1, 188, 188, 1)), ["float32", "float64", "astype"]),
        (np.zeros((1, 188, 188, 3), np.float32), ["(N, H, W, 1)", "(1, 188, 188, 3)"]),
        (np.zeros((1, 1, 188, 188), np.float32), ["(N, H, W, 1)", "channels last"]),
        (np.zeros((188, 188, 1), np.float32), ["(N, H, W, 1)", "(188, 188, 1)"]),
        (np.zeros((1, 190, 188, 1), np.float32), ["190", "188 and 204"]),
        (np.zeros((1, 188, 189, 1), np.float32), ["189", "188 and 204"]),
        (np.zeros((1, 100, 188, 1), np.float32), ["100", "188"]),
    ],
)
def test_an_input_that_does_not_fit(x, said):
    with pytest.raises(CunetError) as caught:
        UNet(width=1)(x)
    for text in said:
        assert text in str(caught.value), str(caught.value)
    assert isinstance(caught.value, ValueError) and caught.value.exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        {"width": 0},
        {"depth": 0},
        {"in_channels": 0},
        {"classes": 1},
        {"dropout": 1.0},
        {"dropout": -0.1},
        {"variant": "papers"},
        {"dtype": "float16"},
        {"device": "gpu"},
    ],
    ids=str,
)
def test_arguments_that_no_net_has(arguments):
    (name, value), *_ = arguments.items()
    with pytest.raises(ValueError, match=name) as caught:
        cunet.UNet(**{"width": 1} | arguments)
    assert str(value) in str(caught.value)


def test_settings_make_the_same_net_again():
    net = UNet(3, 2, 2, 4, 0.25, "release2015", "float64", 7)
    again = UNet(**net.settings())
    for p, q in zip(net.parameters(), again.parameters(), strict=True):
        assert p.name == q.name
        np.testing.assert_array_equal(p.value, q.value)
    assert again.settings() == net.settings()


def test_remembering_once_gives_the_same_and_frees_as_it_goes():
    x = np.random.default_rng(0).standard_normal((1, 44, 44, 1)).astype(np.float32)
    gradients, alive = [], []
    for remember in (True, "once"):
        net, outputs = UNet(width=2, depth=2, seed=1), []
        logits, backward = net(
            x, remember=remember, watch=lambda name, y, found=outputs: found.append(weakref.ref(y))
        )
        outputs.pop()
        gc.disable()
        try:
            backward(np.sin(logits))
            alive.append(sum(output() is not None for output in outputs))
        finally:
            gc.enable()
        gradients.append([p.grad for p in net.parameters()])
    for one, other in zip(*gradients, strict=True):
        np.testing.assert_array_equal(one, other)
    assert alive == [len(outputs), 0]
    with pytest.raises(CunetError, match="allows one call; call the network again"):
        backward(np.sin(logits))


def test_a_real_width_in_float32_is_close_to_the_definition_in_float64():
    """Every schedule of the fast convolutions takes part; limits relative to the largest logit,
    and to the L2 norm of each gradient."""
    shape = {"width": 32, "depth": 4, "seed": 1}
    x = np.random.default_rng(0).standard_normal((1, 220, 220, 1)).astype(np.float32)
    fast, exact = UNet(**shape), UNet(**shape, dtype="float64", engine=definition)
    for ours, theirs in zip(fast.parameters(), exact.parameters(), strict=True):
        theirs.value[...] = ours.value  # the same numbers, rounded to float32
    logits, backward = fast(x)
    dlogits = np.random.default_rng(1).standard_normal(logits.shape).astype(np.float32)
    backward(dlogits)
    expected, backward = exact(x.astype(np.float64))
    backward(dlogits.astype(np.float64))
    assert np.abs(logits - expected).max() < 1e-5 * np.abs(expected).max()
    errors = [
        np.linalg.norm(p.grad - q.grad) / np.linalg.norm(q.grad)
        for p, q in zip(fast.parameters(), exact.parameters(), strict=True)
    ]
    assert max(errors) < 5e-4 and np.median(errors) < 2e-4


def test_a_normalised_net_has_the_filters_of_a_plain_one():
    plain = {p.name: p.value for p in cunet.UNet(width=2, depth=2, seed=4).parameters()}
    normed = cunet.UNet(width=2, depth=2, seed=4, batch_norm=True).parameters()
    filters = [p for p in normed if p.name.endswith(".filters")]
    assert len(filters) == 13
    for p in filters:
        np.testing.assert_array_equal(p.value, plain[p.name])
