"""How fast JAX trains the same ensemble, for who wants to know what else there is.

    pip install jax
    python benchmarks/jax_vmap.py [--models 8] [--rounds 9] [--case digits]

`jit(vmap(scan))`: the step of one model, mapped over models, scanned over the batches of all
epochs, compiled as a whole, which is not counted. The same records, batches and updates as
benchmarks/training.py; in float64 the weights are compared with those of raymia's loop first. The
ways alternate in one process; CPU time, XLA's products on one thread.
"""

import argparse
import os
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

try:
    import jax
except ModuleNotFoundError:  # nothing else here needs it, `make bench` neither
    print("not measured: JAX is not installed")
    raise SystemExit(0) from None

import numpy as np  # noqa: E402
import torch  # noqa: E402
from jax import numpy as jnp  # noqa: E402
from training import CASES, Bench, ratios  # noqa: E402

from raymia import machine  # noqa: E402
from raymia.point.schedule import Training  # noqa: E402
from raymia.streams import seed_of, stream  # noqa: E402
from raymia.training.fit import seeded  # noqa: E402

MOMENTUM, DECAY = 0.9, 5e-4
Layers = list[tuple[jax.Array, jax.Array]]


def logits(layers: Layers, x: jax.Array, activation: Callable[[jax.Array], jax.Array]) -> jax.Array:
    for w, b in layers[:-1]:
        x = activation(x @ w + b)
    w, b = layers[-1]
    return x @ w + b


def train(
    activation: Callable[[jax.Array], jax.Array],
    layers: Layers,
    batches: jax.Array,
    rates: jax.Array,
    x: jax.Array,
    y: jax.Array,
) -> Layers:
    """One model: `batches` [steps, B] of indices into x [N, D] and y [N], and `rates` [steps]."""

    def loss(layers: Layers, idx: jax.Array) -> jax.Array:
        found = jax.nn.log_softmax(logits(layers, x[idx], activation))
        return -jnp.take_along_axis(found, y[idx][:, None], 1).mean()

    def step(state: tuple[Layers, Layers], now: tuple[jax.Array, jax.Array]) -> Any:
        (layers, speed), (idx, rate) = state, now
        found = jax.grad(loss)(layers, idx)
        found = jax.tree.map(lambda g, p: g + DECAY * p, found, layers)
        speed = jax.tree.map(lambda v, g: MOMENTUM * v + g, speed, found)
        return (jax.tree.map(lambda p, v: p - rate * v, layers, speed), speed), None

    begin = (layers, jax.tree.map(jnp.zeros_like, layers))
    (layers, _), _ = jax.lax.scan(step, begin, (batches, rates))
    return layers


class Vmap:
    """The models of a bench, trained by JAX."""

    def __init__(self, bench: Bench, dtype: type) -> None:
        case, self.bench, self.dtype = bench.case, bench, dtype
        activation = jnp.tanh if case.knobs.get("activation") == "tanh" else jax.nn.relu
        self.train = jax.jit(jax.vmap(partial(train, activation), in_axes=(0, 0, None, None, None)))
        self.x = jnp.asarray(bench.x.flatten(1).numpy().astype(dtype))
        self.y = jnp.asarray(bench.y.numpy().astype(np.int32))
        training = Training(epochs=case.epochs)
        rates = [training.lr_at(epoch) for epoch in range(case.epochs) for _ in range(case.steps)]
        self.rates = jnp.asarray(np.array(rates, dtype))

    def inputs(self) -> tuple[Layers, jax.Array]:
        """Weights [K, in, out] and biases [K, out], and batches [K, steps, B], as raymia draws
        them.
        """
        case, numbers = self.bench.case, range(self.bench.models)
        nets = [seeded(case.build, seed_of(0, "init", m)) for m in numbers]
        parameters = [[p.detach().numpy().astype(self.dtype) for p in n.parameters()] for n in nets]
        stacked = [np.stack(each) for each in zip(*parameters, strict=True)]
        pairs = zip(stacked[::2], stacked[1::2], strict=True)
        layers = [(jnp.asarray(w.swapaxes(1, 2)), jnp.asarray(b)) for w, b in pairs]
        orders = []
        for m, members in zip(numbers, self.bench.members, strict=True):
            rng = stream(0, "batches", m)
            orders.append([rng.permutation(members) for _ in range(case.epochs)])
        batches = np.array(orders, np.int32).reshape(self.bench.models, -1, case.batch)
        return layers, jnp.asarray(batches)

    def __call__(self) -> Layers:
        found: Layers = jax.block_until_ready(
            self.train(*self.inputs(), self.rates, self.x, self.y)
        )
        return found


def differs(bench: Bench) -> float:
    """The largest relative difference of JAX's weights from those of raymia's loop in float64."""
    worst = 0.0
    flat = [value for layer in Vmap(bench, np.float64)() for value in layer]
    for k, net in enumerate(bench.fitted("loop", 1, "float64")):
        for mine, other in zip(net.parameters(), flat, strict=True):
            p, q = mine.detach().numpy(), np.asarray(other[k]).T
            worst = max(worst, float(np.abs(p - q).max() / np.abs(p).max()))
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=("digits", "digits256", "location"), default="digits")
    parser.add_argument("--models", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    machine.keep_memory()
    jax.config.update("jax_enable_x64", True)
    bench = Bench(CASES[asked.case], asked.models, "cpu")
    if (worst := differs(bench)) > 1e-9:
        raise SystemExit(f"JAX does not train what raymia's loop trains: {worst:.1e}")
    ways: dict[str, Callable[[], object]] = {
        "published": bench.published,
        "lean": bench.lean,
        f"stacked {asked.models}": partial(bench.fitted, "stacked", asked.models),
        "jax": Vmap(bench, np.float32),
    }
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for round_ in range(asked.rounds + 1):  # the first one compiles
        for way, call in ways.items():
            start = bench.clock()
            call()
            taken[way] += [bench.clock() - start] if round_ else []
    steps = asked.models * bench.case.steps * bench.case.epochs
    print(f"{asked.case}, {asked.models} models, jax {jax.__version__}, torch {torch.__version__}")
    print(f"float64 difference of JAX from the loop {worst:.1e}")
    for way, each in taken.items():
        middle, low, high = ratios(taken["published"], each)
        ms = 1e3 * statistics.median(each) / steps
        print(f"  {way:12} {ms:8.3f} ms a step and model   x{middle:.2f} [{low:.2f}, {high:.2f}]")


if __name__ == "__main__":
    main()
