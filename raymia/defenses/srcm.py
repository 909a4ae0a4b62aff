from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from raymia.lazy import modules, torch
from raymia.point.space import Range
from raymia.training.defense import Defense, Facts

if TYPE_CHECKING:
    from raymia.training.network import Network


@dataclass(frozen=True)
class Srcm(Defense):
    """A head that caps confidence: features -> Linear -> onto a shell of radius r1 to r1 + d ->
    Linear of norm one.

    SR(x) = x clamp(|x|, r1, r1 + d) / |x|; the last layer's weight is divided by its Frobenius
    norm, so that the true logit is at most about (r1 + d) / sqrt(C). Design `b` is SRCM; `a`
    puts SR on the logits of a plain head, without LinearNorm; `c` is `b` normalised in training
    only (`all_on: false` says the same).

    Source: Fang & Kim, Representation Magnitude has a Liability to Privacy Vulnerability, AIES
    2024, equations 2 and 9, algorithm 1, figure 3.

    Neutral: none exists: LinearNorm and the pre-layer remain at any r1 (law L3: SR is the
    identity inside its shell).

    Departures: the released code lacks the module; written from the paper. The norm is guarded
    at 0.
    """

    cite: ClassVar[str] = (
        "@inproceedings{fang2024srcm, title={Representation Magnitude has a Liability to Privacy "
        "Vulnerability}, author={Fang, Xingli and Kim, Jung-Eun}, booktitle={AAAI/ACM Conference "
        "on AI, Ethics, and Society}, year={2024}}"
    )

    r1: Annotated[float, Range(3.0, 30.0, log=True, least=0.0)] = 10.0
    d: Annotated[float, Range(0.3, 10.0, log=True, least=0.0)] = 1.0
    design: Literal["a", "b", "c"] = "b"
    all_on: bool = True

    @classmethod
    def ranges(cls, facts: Facts) -> Mapping[str, Range]:
        """3 to 30 for 10 classes, times sqrt(C / 10): the true logit is at most (r1 + d) /
        sqrt(C).
        """
        scale = sqrt(facts.classes / 10)
        return {"r1": Range(3.0 * scale, 30.0 * scale, log=True)}

    def network(self, network: Network) -> Network:
        nn, (width, classes) = torch.nn, (_last(network.head).in_features, network.classes)
        if self.design == "a":
            return network.with_head(
                lambda head: nn.Sequential(head, modules.SphereClip(self.r1, self.d))
            )
        normed = modules.LinearNorm(width, classes, all_on=self.all_on and self.design == "b")
        return network.with_head(
            lambda head: nn.Sequential(
                _before(head), nn.Linear(width, width), modules.SphereClip(self.r1, self.d), normed
            )
        )

    def inside(self, network: Network, x: torch.Tensor) -> Mapping[str, float]:
        """`clipped`: the share of members whose vector SR moves onto its shell."""
        (shell,) = (m for m in network.modules() if isinstance(m, modules.SphereClip))
        norms = list[torch.Tensor]()
        hook = shell.register_forward_pre_hook(lambda _, given: norms.append(given[0].norm(dim=-1)))
        network(x)
        hook.remove()
        outside = (norms[0] < self.r1) | (norms[0] > self.r1 + self.d)
        return {"clipped": float(outside.double().mean())}


def _last(head: torch.nn.Module) -> torch.nn.Linear:
    """The last linear layer of a head."""
    return [m for m in head.modules() if isinstance(m, torch.nn.Linear)][-1]


def _before(head: torch.nn.Module) -> torch.nn.Module:
    """What another part put in front of the last linear layer (dropout, say)."""
    return (
        torch.nn.Sequential(*list(head)[:-1])
        if isinstance(head, torch.nn.Sequential)
        else torch.nn.Identity()
    )
