"""What is asked of one trained model: each function answers one of the `needs` that attacks
declare.

A query sees the released logits through `Subject.release`, and the network itself where an
attack is white-box.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.weak import WeakIdKeyDictionary

from raymia.records.split import Ints
from raymia.signals import gradient_norms, perturb
from raymia.signals.view import log_odds, log_softmax
from raymia.streams import stream
from raymia.training.batches import pixels
from raymia.training.defense import Predictor, Release
from raymia.training.losses import CHUNK
from raymia.training.model import Model, predict
from raymia.training.network import Network

Array = np.ndarray[Any, Any]
GRAD_CHUNK = 256  # records a backward pass
SEARCH_CHUNK = 4096  # records of a search, of which only those go on that are not there yet
DRAWS, STEP = 10, 1e-3  # of the sensitivity
# of tensors that are still there, with torch's count of changes to them, so that none is stale:
# every model of a group, and every group, asks about the same
_COMPONENTS: MutableMapping[Tensor, tuple[int, Array]] = WeakIdKeyDictionary()


@dataclass(frozen=True, eq=False)
class Subject:
    """One model under question: how it predicts, how its logits are released, the records x [S,
    ...] and labels y [S].

    `members`: its own, for the one measure that is defined by them (`confident_distance`).
    `asked` [A]: the records about which somebody will want to know what costs gradients, None: all;
    of the others such a measure is 0. `split_ai`: what sub-models said of all records.
    """

    model: Predictor
    release: Release
    x: Tensor
    y: Tensor
    rng: np.random.Generator
    members: Ints
    asked: Ints | None = None
    split_ai: Callable[[], Tensor | None] = lambda: None

    @property
    def white_box(self) -> Model:
        """The model, as one that has a network. Raises TypeError where none is released."""
        if not isinstance(self.model, Model):
            raise TypeError("a white-box attack needs a network, and none is released")
        return self.model

    @property
    def network(self) -> Network:
        """Raises TypeError where none is released."""
        return self.white_box.network

    @cached_property
    def label(self) -> Array:
        return np.asarray(self.y.cpu().numpy())

    def own(self, name: str) -> np.random.Generator:
        """A stream that no other query draws from."""
        seeds: Any = self.rng.bit_generator.seed_seq
        return stream(seeds.entropy, name)

    def released(self, x: Tensor) -> Array:
        """Logits [S, C] of other records, as released."""
        return np.asarray(self.release(predict(self.model, x)), np.float32)

    def chunks(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Records as the network sees them (bytes as [0, 1]) and their labels, a few at a time."""
        return self.few(torch.arange(len(self.x), device=self.x.device))

    def asked_chunks(self, size: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """The same of those that are asked about."""
        everyone = torch.arange(len(self.x), device=self.x.device)
        return self.few(everyone if self.asked is None else everyone[self.asked], size)

    def few(self, rows: Tensor, size: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """The same of these records."""
        dtype = self.model.dtype if isinstance(self.model, Model) else torch.float32
        size = size or GRAD_CHUNK
        for i in range(0, len(rows), size):
            few = rows[i : i + size]
            yield pixels(self.x[few], dtype), self.y[few]

    def joined(self, parts: list[Tensor]) -> Array:
        """Answers [S] to those that are asked about, 0 elsewhere."""
        found = _joined(parts)
        if self.asked is None:
            return found
        every = np.zeros((len(self.x), *found.shape[1:]))
        every[self.asked] = found
        return every


def logits(subject: Subject) -> dict[str, Array]:
    """`logits` [S, C], as released."""
    return {"logits": subject.released(subject.x)}


def input_grad(subject: Subject) -> dict[str, Array]:
    """`input_grad_l1`, `input_grad_l2` [S]: norms of the gradient of the cross-entropy by the
    normalised input.

    In evaluation mode every record is on its own, so the gradient of the summed losses holds
    each record's own. Source: Rezaei & Liu, CVPR 2021.
    """
    network, first, second = subject.network, [], []
    for x, y in subject.asked_chunks():
        x = network.normalise(x).detach().requires_grad_()
        loss = F.cross_entropy(network.head(network.backbone(x)), y, reduction="sum")
        (grad,) = torch.autograd.grad(loss, x)
        flat = grad.flatten(1).double()
        first.append(flat.abs().sum(1))
        second.append(flat.square().sum(1).sqrt())
    return {"input_grad_l1": subject.joined(first), "input_grad_l2": subject.joined(second)}


def weight_grad_l1(subject: Subject) -> dict[str, Array]:
    """`weight_grad_l1` [S]: the l1 norm of the gradient of the cross-entropy by all weights."""
    return {
        "weight_grad_l1": subject.joined(
            [gradient_norms.gradient(subject.network, x, y, 1) for x, y in subject.asked_chunks()]
        )
    }


def weight_grad_l2(subject: Subject) -> dict[str, Array]:
    """`weight_grad_l2` [S]: the l2 norm of that gradient."""
    return {
        "weight_grad_l2": subject.joined(
            [gradient_norms.gradient(subject.network, x, y, 2) for x, y in subject.asked_chunks()]
        )
    }


def feature_norm(subject: Subject) -> dict[str, Array]:
    """`feature_norm` [S]: the l2 norm of the features, which the head is given.

    Source: the distance to the origin in figure 1 of Fang & Kim, AIES 2024 (SRCM).
    """
    network = subject.network
    with torch.no_grad():
        features = [network(x).features.flatten(1).double() for x, _ in subject.chunks()]
    return {"feature_norm": _joined([one.square().sum(1).sqrt() for one in features])}


def confident_distance(subject: Subject) -> dict[str, Array]:
    """`confident_distance` [S]: the l_inf distance to a loss below the median of the model's
    own members.

    Source: Kaya, Hong & Dumitras, arXiv:2006.05336 (DtC).
    """
    model, members = subject.white_box, torch.as_tensor(subject.members, device=subject.x.device)
    with torch.no_grad():
        losses = [F.cross_entropy(model(x), y, reduction="none") for x, y in subject.few(members)]
    median = float(torch.cat(losses).median())
    found = [perturb.confident(model, x, y, median) for x, y in subject.asked_chunks(SEARCH_CHUNK)]
    return {"confident_distance": subject.joined(found)}


def adversarial_distance(subject: Subject) -> dict[str, Array]:
    """`adversarial_distance_l2`, `adversarial_distance_linf` [S]: how far a record is moved to
    be predicted otherwise.
    """
    return {f"adversarial_distance_{norm}": _fooled(subject, norm) for norm in ("l2", "linf")}


def adversarial_l1_distance(subject: Subject) -> dict[str, Array]:
    """`adversarial_l1_distance` [S]: the same in l1."""
    return {"adversarial_l1_distance": _fooled(subject, "l1")}


def _fooled(subject: Subject, norm: str) -> Array:
    model = subject.white_box
    return subject.joined(
        [perturb.adversarial(model, x, y, norm) for x, y in subject.asked_chunks()]
    )


def sensitivity(subject: Subject) -> dict[str, Array]:
    """`sensitivity` [S, C]: the mean of |p_c(x + s u) - p_c(x)| / s over ten normal u, s =
    0.001, in float64.

    Source: Yuan & Zhang, USENIX Security 2022 (SAMIA), and its code.
    """
    model = subject.model
    if isinstance(model, Model):
        model = Model(copy.deepcopy(model.network).double(), torch.float64)
    dtype = torch.float64 if isinstance(model, Model) else torch.float32

    def probabilities(x: Tensor) -> Tensor:
        with torch.no_grad():
            z = torch.cat([model(x[i : i + CHUNK]) for i in range(0, len(x), CHUNK)])
        return torch.as_tensor(subject.release(z.cpu().numpy())).double().softmax(-1)

    x = pixels(subject.x, dtype)
    at = probabilities(x)
    moved = torch.zeros_like(at)
    for _ in range(DRAWS):
        u = torch.as_tensor(subject.rng.standard_normal(x.shape)).to(x)
        moved = moved + (probabilities(x + STEP * u) - at).abs()
    return {"sensitivity": np.asarray((moved / (DRAWS * STEP)).numpy())}


def view_log_odds(subject: Subject) -> dict[str, Array]:
    """`view_log_odds` [S, 18]: log-odds of the label on an image, its mirror image, and both
    shifted by one pixel.
    """
    found = [
        log_odds(subject.released(x), subject.label) for x in perturb.shifted(subject.x, (0, 1, -1))
    ]
    return {"view_log_odds": np.stack(found, -1).astype(np.float32)}


def augmented_right(subject: Subject) -> dict[str, Array]:
    """`augmented_right` [S]: the share of 162 shifted and mirrored copies of an image that are
    predicted right.
    """
    right = [
        subject.released(x).argmax(-1) == subject.label
        for x in perturb.shifted(subject.x, range(-4, 5))
    ]
    return {"augmented_right": np.mean(right, 0)}


def boundary_distance(subject: Subject) -> dict[str, Array]:
    """`boundary_distance` [S]: the l2 distance to the decision boundary, from the released
    labels alone.
    """
    return {"boundary_distance": _crossed(subject, subject.rng, ("l2",))["l2"]}


def boundary_norms(subject: Subject) -> dict[str, Array]:
    """`boundary_norms_l1`, `boundary_norms_linf` [S]: the same distance in other norms, of the
    point that is the nearest in l2.

    From a stream of its own: what else is asked stays as it is.
    """
    found = _crossed(subject, subject.own("boundary_norms"), ("l1", "linf"))
    return {f"boundary_norms_{norm}": distance for norm, distance in found.items()}


def _crossed(
    subject: Subject, rng: np.random.Generator, norms: tuple[str, ...]
) -> dict[str, Array]:
    x = pixels(subject.x, torch.float32).cpu()
    return perturb.boundaries(
        lambda at: subject.released(at).argmax(-1), x, subject.label, rng, norms
    )


def random_confidence(subject: Subject) -> dict[str, Array]:
    """`random_confidence` [S]: log max_c p_c of as many random inputs as there are records.

    From a stream of its own: what else is asked stays as it is.
    """
    rng, n = subject.own("random_confidence"), len(subject.x)
    sizes = [min(CHUNK, n - i) for i in range(0, n, CHUNK)]
    inputs = (perturb.scattered(subject.x, size, rng) for size in sizes)
    said = [log_softmax(subject.released(x)).max(-1) for x in inputs]
    return {"random_confidence": np.concatenate(said)}


def record(subject: Subject) -> dict[str, Array]:
    """`record` [S, up to 32]: the first principal components of the records themselves, which
    whoever asks about them holds; of all of them, whoever trained on them.
    """
    changes = subject.x._version
    held = _COMPONENTS.get(subject.x)
    if held is None or held[0] != changes:
        held = changes, components(subject.x)
        held[1].setflags(write=False)
        _COMPONENTS[subject.x] = held
    return {"record": held[1]}


def components(x: Tensor, most: int = 32, wide: int = 512) -> Array:
    """Principal components [S, min(most, features, S)] of records [S, ...], float32, each with
    its largest loading positive. Exact up to `wide` features; of more from 16 random directions
    beyond `most` and two passes (Halko, Martinsson & Tropp, SIAM Review 2011).
    """
    n, features = len(x), x[0].numel()
    kept = min(most, features, n)

    def rows() -> Iterator[Tensor]:
        for i in range(0, n, CHUNK):
            yield pixels(x[i : i + CHUNK], torch.float32).flatten(1)

    mean = torch.stack([part.double().sum(0) for part in rows()]).sum(0).float() / n

    def times(directions: Tensor) -> Tensor:
        """The covariance, times n, applied to directions [features, k], in float64."""
        total = torch.zeros_like(directions, dtype=torch.float64)
        for part in rows():
            part = part - mean
            total += (part.T @ (part @ directions)).double()
        return total

    if features <= wide:
        whole = times(torch.eye(features, device=x.device))
    else:
        draw = np.random.default_rng(0).standard_normal((features, most + 16))
        basis = torch.as_tensor(draw, dtype=torch.float32, device=x.device)
        for _ in range(2):
            basis = torch.linalg.qr(times(basis))[0].float()
        whole = basis.double().T @ times(basis)
    vectors = torch.linalg.eigh((whole + whole.T) / 2)[1].flip(1)[:, :kept].float()
    axes = vectors if features <= wide else basis @ vectors
    axes = axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
    return np.asarray(torch.cat([(part - mean) @ axes for part in rows()]).cpu().numpy())


def split_ai(subject: Subject) -> dict[str, Array]:
    """`split_ai` [S, C]: probabilities by the model's own sub-models that have not seen the record.

    Its owner knows them, and so whoever trained a shadow; a view has none of its target.
    """
    said = subject.split_ai()
    if said is None:
        raise TypeError("this defense trains no sub-models that leave records out")
    return {"split_ai": np.asarray(said.float().cpu().numpy())}


def _joined(parts: list[Tensor]) -> Array:
    return np.asarray(torch.cat(parts).detach().double().cpu().numpy())


QUERIES: dict[str, Callable[[Subject], dict[str, Array]]] = {
    ask.__name__: ask
    for ask in (
        *(logits, input_grad, weight_grad_l1, weight_grad_l2, feature_norm, confident_distance),
        *(adversarial_distance, adversarial_l1_distance, sensitivity, view_log_odds),
        *(augmented_right, boundary_distance, boundary_norms, random_confidence, record),
        split_ai,
    )
}
