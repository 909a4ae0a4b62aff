import torch

from raymia.defenses.spatial_dropout import SpatialDropout
from raymia.point.catalog import make
from raymia.point.schedule import Training
from raymia.training.fit import fit
from raymia.training.modules import Dropout
from raymia.training.recipe import Recipe


def test_whole_channels_go_after_every_convolution(lesson, monkeypatch):  # type: ignore[no-untyped-def]
    masks: list[torch.Tensor] = []

    def spy(layer: Dropout, x: torch.Tensor) -> torch.Tensor:
        masks.append(layer.mask)
        return plain(layer, x)

    plain = Dropout.forward
    monkeypatch.setattr(Dropout, "forward", spy)
    net = make("networks", "cnn", {"width": 8})
    training = Training(epochs=20, batch_size=10, precision="float64")
    fit(
        Recipe((SpatialDropout(q=0.25),)),
        lambda: net.build((1, 8, 8), 3),
        lesson(),
        training,
        (0,),
        [0],
    )
    used = [m for m in masks if m.ndim == 4]
    assert {m.shape[1:] for m in used} == {(8, 1, 1), (16, 1, 1)}
    drawn = torch.cat([m.flatten() for m in used])
    assert set(drawn.unique().tolist()) == {0.0, 1 / 0.75}
    # 9,600 draws: 0.0044 a standard deviation
    assert abs(float((drawn == 0).double().mean()) - 0.25) < 0.02
