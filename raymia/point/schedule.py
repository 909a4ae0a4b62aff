"""How models are trained, before a defense changes anything."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from raymia.point.space import Range

# `auto`, where the constants come from, or (means, deviations) themselves
Constants = tuple[tuple[float, ...], tuple[float, ...]]
Scale = Literal["auto", "reference", "members", "none"] | Constants
ENOUGH = 30  # reference records, for constants of their own


@dataclass(frozen=True)
class Training:
    """The optimiser and its schedule. Every data set brings its own; the sweep file and
    defenses override fields.

    Units: `milestones` are (fraction of `epochs`, factor on `lr` from there on), so a shorter
    run keeps its shape, or (number of epochs from 1, factor); `stop` is the number of epochs that
    are really run (None: all), without rescaling the schedule. `scale`: by which constants
    features are standardised: those of the defender's reference records, of each model's own
    members, or given ones; `auto`: reference where it has 30 records or more, else members, and
    none for images and words, which have constants of their own. `precision: bf16`: a network's
    layers are multiplied in bfloat16 (torch's autocast) while it is trained; weights, losses,
    DP-SGD's gradients and all queries stay in float32. `tf32`: a GPU may round what it multiplies
    to 10 bits; with `float32` it may not. `warmup`: over so many first epochs the
    rate grows by the same amount with every step, and is whole in the last of them. `checkpoint`:
    which network is kept, of the last epoch or of the one that has the best accuracy on the
    protocol's reserve. `engine`: how a step is computed, which changes the last bits alone: by
    the plain loop, of several networks at once, with the network compiled, or as a CUDA graph.
    """

    revision: ClassVar[int] = (
        7  # of how a group takes its steps; raised when the bits of a trained model change
    )

    epochs: Annotated[int, Range(1, 1000, least=1)] = 60
    batch_size: Annotated[int, Range(1, 4096, least=1)] = 64
    optimizer: Literal["sgd", "adam", "amsgrad"] = "sgd"
    lr: Annotated[float, Range(1e-5, 1.0, log=True, least=0.0)] = 0.1
    momentum: Annotated[float, Range(0.0, 1.0, least=0.0, most=1.0)] = 0.9
    weight_decay: Annotated[float, Range(0.0, 0.5, least=0.0)] = 5e-4
    milestones: tuple[tuple[float, float], ...] = ((0.5, 0.1), (0.8, 0.01))
    stop: Annotated[int | None, Range(1, 1000, least=1)] = None
    augment: Literal["none", "crop_flip", "crop_flip_shared"] = "none"
    precision: Literal["float32", "float64", "tf32", "bf16"] = "float32"
    scale: Scale = "auto"
    warmup: Annotated[int, Range(0, 20, least=0)] = 0
    checkpoint: Literal["last", "best"] = "last"
    engine: Literal["auto", "loop", "stacked", "compiled", "graph"] = "auto"

    def lr_at(self, epoch: int, done: float = 1.0) -> float:
        """The learning rate of an epoch (0-based), in the step with which a share of it is `done`.

        Source of the warm-up: code of Tang et al., USENIX Security 2022 (one epoch): step m of
        the M in those epochs has lr m / M.
        """
        factor = 1.0
        for place, value in self.milestones:
            # 0.55 of 100 epochs is 55.00000000000001 of them
            if epoch >= (place if place >= 1 else round(place * self.epochs, 9)):
                factor = value
        if epoch < self.warmup:
            factor *= (epoch + done) / self.warmup
        return self.lr * factor

    def scaled_by(self, settled: bool, reference: int) -> Scale:
        """What `scale` means for such records, `reference` of which are set aside; `settled`: they
        are images or words, which have constants of their own.
        """
        if self.scale != "auto":
            return self.scale
        if settled:
            return "none"
        return "reference" if reference >= ENOUGH else "members"

    @property
    def dtype(self) -> str:
        """Of weights and losses."""
        return "float64" if self.precision == "float64" else "float32"

    @property
    def run_epochs(self) -> int:
        return self.epochs if self.stop is None else min(self.stop, self.epochs)
