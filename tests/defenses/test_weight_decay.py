import torch

from raymia.defenses.weight_decay import WeightDecay
from raymia.point.schedule import Training
from raymia.training.optimizer import Optimizer


def test_it_takes_the_place_of_the_trainings_own() -> None:
    training = WeightDecay(lam=0.5).training(Training(momentum=0.0, weight_decay=0.1))
    weight = torch.tensor([[4.0]])
    Optimizer([weight], training).step([torch.tensor([[1.0]])], lr=0.1)
    assert weight.item() == torch.tensor(4 - 0.1 * (1 + 0.5 * 4)).item()
