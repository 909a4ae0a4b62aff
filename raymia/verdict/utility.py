"""What the released probabilities say of the true class, of members and of non-members: top-5
accuracy and cross-entropy.
"""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
TOP = 5


def numbers(logits: Array, label: Array, member: Array, judged: Array) -> dict[str, float]:
    """`train_loss` and `test_loss`, the mean cross-entropy of the judged members and of the judged
    non-members; `train_loss_sd` and `test_loss_sd`, its standard deviation over these records;
    `train_top5_accuracy` and `test_top5_accuracy`, where there are more than five classes.

    Means over targets. Shapes: logits [T, S, C], as released; label [S]; member, judged [T, S].

    Source: Chen, Yu & Fritz, RelaxLoss, ICLR 2022 (top-5; mean and variance of the loss).
    """
    found: dict[str, list[float]] = {}
    for said, inside, on in zip(logits, member, judged, strict=True):
        for name, rows in (("train", on & inside), ("test", on & ~inside)):
            here = _of(said[rows].astype(np.float64), label[rows])
            for what, value in here.items():
                found.setdefault(f"{name}_{what}", []).append(value)
    return {name: float(np.mean(values)) for name, values in found.items()}


def _of(logits: Array, label: Array) -> dict[str, float]:
    own = np.take_along_axis(logits, label[:, None], 1)
    top = logits.max(1, keepdims=True)
    loss = np.log(np.exp(logits - top).sum(1)) + (top - own)[:, 0]
    found = {"loss": float(loss.mean()), "loss_sd": float(loss.std())}
    classes = np.arange(logits.shape[1])
    if len(classes) <= TOP:
        return found
    # of equals the first is the answer, as in argmax: a constant answer has five classes, not all
    before = (logits > own) | ((logits == own) & (classes < label[:, None]))
    return {"top5_accuracy": float((before.sum(1) < TOP).mean()), **found}
