"""Three engines, one set of functions: the same names, the same arguments, and one for each net."""

import ast
import inspect
from pathlib import Path

import numpy as np
import pytest
from inputs import normal

import cunet
from cunet import engines
from cunet.engines import cpu, definition, gpu
from cunet.errors import CunetError
from cunet.net import layers

WITHOUT_NORM = {"norm_statistics", "norm_forward", "norm_backward"}  # what gpu lacks


def functions():
    """The functions of the definition's engine, which its layers and steps call."""
    public = {n for n, f in vars(definition).items() if inspect.isfunction(f) and n[0] != "_"}
    own = {name for name in public if getattr(definition, name).__module__ == definition.__name__}
    return sorted(own - {"side_by_side"})


def parameters(function):
    found = inspect.signature(function).parameters.values()
    return [(p.name, p.kind, p.default) for p in found]


@pytest.mark.parametrize("name", functions())
@pytest.mark.parametrize("engine", [cpu, gpu], ids=lambda engine: engine.__name__)
def test_engines_have_the_functions_of_the_definition(engine, name):
    if engine is gpu and name in WITHOUT_NORM:
        assert not hasattr(engine, name)
        return
    assert parameters(getattr(engine, name)) == parameters(getattr(definition, name))


@pytest.mark.parametrize("engine", [cpu, gpu], ids=lambda engine: engine.__name__)
def test_engines_have_no_other_function(engine):
    missing = WITHOUT_NORM if engine is gpu else set()
    assert set(engine.__all__) == set(functions()) - missing


def test_layers_call_nothing_else_of_an_engine():
    """Every attribute of something called engine, in the package of the network."""
    called = set()
    for path in Path(layers.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                owner = getattr(node.value, "attr", getattr(node.value, "id", ""))
                if owner == "engine":
                    called.add(node.attr)
    assert {"conv_forward", "pool_backward", "enter"} <= called <= set(functions())


def test_which_engine_a_network_gets():
    assert engines.engine_of("cpu", "float32") is cpu
    assert engines.engine_of("cuda:0", "float32") is definition
    assert engines.engine_of("cuda:0", "float64") is definition
    for precision in engines.TENSOR_CORES:
        assert engines.engine_of("cuda:1", precision) is gpu
    assert cunet.UNet(width=1, depth=1).engine is cpu
    assert cunet.UNet(width=1, depth=1, engine=definition).engine is definition


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"variant": "release2015"},
        {"padding": "same"},
        {"padding": "same", "batch_norm": True, "sigmoid": True},
    ],
)
def test_the_cpu_computes_what_the_definition_does(shape):
    """Whole nets in float64, forward and back, dropout and statistics of batches included."""
    found = []
    for engine in (cpu, definition):
        settings = {"width": 3, "depth": 2, "in_channels": 2, "dtype": "float64", "seed": 1}
        net = cunet.UNet(**settings, **shape, engine=engine)
        logits, backward = net(normal(1, 2, 60, 60, 2), np.random.default_rng(0))
        dx = backward(np.sin(logits), input_gradient=True)
        found.append([logits, dx, *(p.grad for p in net.parameters())])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10 * max(1, np.abs(b).max()))


def test_the_definition_says_what_is_wrong():
    x, w, b = np.ones((1, 4, 6, 2)), np.ones((3, 3, 2, 1)), np.zeros(1)
    with pytest.raises(CunetError, match="'valid' or 'same', found 'full'"):
        definition.conv_forward(x, w, b, "full")
    with pytest.raises(CunetError, match="2 channels.* 4"):
        definition.conv_forward((x, x), w, b)
