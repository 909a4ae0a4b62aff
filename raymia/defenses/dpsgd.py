from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from raymia.lazy import clipping, modules, torch
from raymia.point.schedule import Training
from raymia.point.space import Range
from raymia.training.defense import Defense, Private, Rng, Traits
from raymia.training.privacy import epsilon, poisson, sample_rate, shuffled, steps

if TYPE_CHECKING:
    from raymia.training.network import Network


@dataclass(frozen=True)
class Dpsgd(Defense):
    """DP-SGD: per-example gradients, clipped (`training/clipping.py`), Gaussian noise, Poisson
    batches.

    A step moves by (sum_i g_i min(1, max_grad_norm / |g_i|) + N(0, (sigma max_grad_norm)^2)) /
    B, B the expected batch; momentum and weight decay act on that noisy mean. BatchNorm becomes
    GroupNorm of `groups` groups, fewer where channels are no multiple of them, and of at least
    two channels each wherever there are two: one alone, at a single pixel, is normalised to a
    constant. Every record enters a batch independently with probability q = batch_size /
    members. The row keeps epsilon at delta by the accountant of choice.

    As Li, Li & Ribeiro's code runs it: `sampling: uniform`, a shuffled order cut into batches of
    B, of which no accountant here knows what they spend: epsilon stays empty; `groups: 0`, one
    for each channel; sigma 1e-4 at max_grad_norm 10,000, which clips nothing.

    Units: sigma is the noise multiplier, in units of max_grad_norm. delta None: 1e-5.

    Source: Abadi et al., CCS 2016; Li, Li & Ribeiro, CODASPY 2021, section 5.2 and its code.

    Neutral: none exists: at sigma 0 gradients are still clipped and batches drawn by Poisson
    (law L3: at sigma 0 and a large max_grad_norm the gradient is the plain mean over the
    expected batch).

    Departures: Opacus's sampling rate is 1 / len(loader) and its divisor int(q n); here q =
    batch_size / members exactly and the divisor is batch_size, also of a smaller last batch.
    Noise comes from a seeded,
    non-cryptographic generator, so that runs repeat: no release of these very models should
    claim the epsilon. The epsilon does not include the search over hyperparameters. The `gdp`
    accountant is not offered: it under-reports.
    """

    revision: ClassVar[int] = 4
    cite: ClassVar[str] = (
        "@inproceedings{abadi2016dpsgd, title={Deep Learning with Differential Privacy}, "
        "author={Abadi, Martin and Chu, Andy and Goodfellow, Ian and McMahan, H. Brendan and "
        "Mironov, Ilya and Talwar, Kunal and Zhang, Li}, booktitle={CCS}, year={2016}}"
    )

    sigma: Annotated[float, Range(0.3, 3.0, log=True, least=0.0)] = 1.0
    max_grad_norm: Annotated[float, "no range: published runs fix it at 1.0 or 1.2"] = 1.0
    accountant: Literal["pld", "rdp"] = "pld"
    delta: Annotated[float | None, "no range: part of the promise, no strength"] = None
    sampling: Literal["poisson", "uniform"] = "poisson"
    groups: Annotated[int, "no range: published runs fix it at 32 or the channels"] = 32

    def __post_init__(self) -> None:
        if self.max_grad_norm <= 0 or not 0 < (0.5 if self.delta is None else self.delta) < 1:
            given = f"max_grad_norm {self.max_grad_norm}, delta {self.delta}"
            raise ValueError(
                f"got {given}; max_grad_norm more than 0, delta between 0 and 1 is allowed"
            )
        if self.groups < 0:
            raise ValueError(f"groups: got {self.groups}; 0 (one for each channel) or more")

    def traits(self) -> Traits:
        voids = "dpsgd: its batches are shuffled, and the accountants know of Poisson draws alone"
        return Traits(voids_epsilon="" if self.sampling == "poisson" else voids)

    def network(self, network: Network) -> Network:
        return network.edit(partial(modules.group_norm, groups=self.groups))

    def privatise(
        self,
        network: Network,
        parameters: Sequence[torch.Tensor],
        members: int,
        training: Training,
        rng: Rng,
    ) -> Private:
        clip = clipping.Clipping(network, self.max_grad_norm)
        rate = sample_rate(members, training)
        noise = torch.Generator(parameters[0].device).manual_seed(int(rng.integers(2**62)))
        clipped = list[torch.Tensor]()

        def gradients(losses: Callable[[], torch.Tensor], size: int) -> list[torch.Tensor]:
            # an empty Poisson batch still adds noise and counts as a step
            sums = {p: torch.zeros_like(p) for p in parameters}
            if size:
                sums, norms = clip(losses)
                clipped.append((norms > self.max_grad_norm).double().mean())
            return [self._noisy(sums[p], noise) / (rate * members) for p in parameters]

        def acted() -> dict[str, float]:
            return {"clipped": float(torch.stack(clipped).mean()) if clipped else 0.0}

        sample = poisson(rate) if self.sampling == "poisson" else shuffled(training.batch_size)
        return Private(sample, gradients, clip.close, acted)

    def _noisy(self, total: torch.Tensor, source: torch.Generator) -> torch.Tensor:
        if not self.sigma:
            return total
        spread = self.sigma * self.max_grad_norm
        return total + torch.normal(0.0, spread, total.shape, generator=source, device=total.device)

    def facts(self, members: int, training: Training) -> dict[str, float | None]:
        """epsilon (None where the noise or the sampling gives none), delta, and the q of the
        sampler if it is Poisson's.
        """
        rate, delta = sample_rate(members, training), 1e-5 if self.delta is None else self.delta
        if self.sampling != "poisson":
            return {"epsilon": None, "delta": delta, "sample_rate": None}
        spent = epsilon(self.sigma, rate, steps(members, training), delta, self.accountant)
        return {"epsilon": spent, "delta": delta, "sample_rate": rate}
