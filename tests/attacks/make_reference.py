"""Reference figures of attacks, from the formulas of their papers: plain loops over records and
models, numpy alone, nothing of raymia.

python tests/attacks/make_reference.py > tests/attacks/reference.json
"""

import json
import re
from typing import Any

import numpy as np

MODELS, RECORDS, CLASSES, POPULATION = 8, 24, 4, 4
TARGET = 0
GAMMA, SHRINK = 2.0, 8
# ten digits: other processors and libraries differ by 1e-15, and no figure is that near to
# where its tenth digit would turn
DIGITS = 10


def world() -> dict[str, Any]:
    """Logits of 8 models in complementary pairs, and the target; the last 4 records, the
    population, are of no model.

    A member's logit of its label is 2.5 higher than a non-member's. Shapes: `logits` [M, S, C],
    each the shortest decimal of its float32; `labels` [S]; `member` [M, S], 0 or 1; `population`,
    columns.
    """
    rng = np.random.default_rng(20261125)
    member = np.zeros((MODELS, RECORDS), int)
    audited = RECORDS - POPULATION
    for pair in range(MODELS // 2):
        chosen = rng.permutation(audited)[: audited // 2]
        member[2 * pair, chosen] = 1
        member[2 * pair + 1, [n for n in range(audited) if n not in chosen]] = 1
    labels = rng.integers(0, CLASSES, RECORDS)
    logits = rng.normal(0, 1.5, (MODELS, RECORDS, CLASSES))
    for m in range(MODELS):
        for n in range(RECORDS):
            logits[m, n, labels[n]] += 1.0 + 2.5 * member[m, n]
    return {
        "logits": logits.astype(np.float32).round(4).tolist(),
        "labels": labels.tolist(),
        "member": member.tolist(),
        "target": TARGET,
        "population": list(range(audited, RECORDS)),
    }


def softmax(z: Any) -> Any:
    e = np.exp(z - max(z))
    return e / e.sum()


def expected(given: dict[str, Any]) -> dict[str, Any]:
    """By attack, of the target on the A records that are not the population's, higher = member;
    its shadows are all models but itself and its complement.

    p = softmax(z) of the target, y the label, phi = log p_y - log(1 - p_y); IN and OUT are the
    shadows with and without the record, mu and s^2 of phi over one of them.

    lira: offline (phi - mu_out) / s_out, online log N(phi; mu_in, s_in) - log N(phi; mu_out,
    s_out), up to the constant of both. s^2 of one record: q / (n - 1), q the squares around the
    mean whatever the centre is; `fixed`: sum q / sum (n - 1) over all A; `shrunken`: (q + 8 fixed)
    / (n - 1 + 8).
    rmia: ratio(x) = p_y / p(x); offline p(x) = ((1 + a) mean_OUT p_y + 1 - a) / 2, online the mean
    of p_y over all shadows less int(trim K) at either end; the count of population records z with
    ratio(x) / ratio(z) > gamma.
    reference: 1 - the place of the loss -log p_y among 0, those of OUT, and 1000, linear between.
    population rank: how many population records have a larger loss.
    entropy: sum_c p_c log p_c. modified_entropy: (1 - p_y) log p_y + sum_{c != y} p_c log(1 - p_c).
    instance_vector: KL(mean_OUT p || p) - KL(mean_IN p || p).

    Source: beside each. Departures: those that the attacks' own docstrings state, of LiRA (offline
    one-sided, variance around each record's mean) and RMIA (no temperature).
    """
    z = np.array(given["logits"], np.float32).astype(float)
    y, member = given["labels"], given["member"]
    p = [[softmax(z[m][n]) for n in range(RECORDS)] for m in range(MODELS)]
    truth = [[float(p[m][n][y[n]]) for n in range(RECORDS)] for m in range(MODELS)]
    phi = [[float(np.log(t) - np.log(1 - t)) for t in row] for row in truth]
    target, population = given["target"], given["population"]
    judged = [n for n in range(RECORDS) if n not in population]
    shadows = [k for k in range(MODELS) if k not in (target, target ^ 1)]

    def inside(n: int) -> list[int]:
        return [k for k in shadows if member[k][n]]

    def outside(n: int) -> list[int]:
        return [k for k in shadows if not member[k][n]]

    out: dict[str, Any] = {"log_odds": [phi[target][n] for n in judged]}

    # LiRA: Carlini et al. 2022, algorithm 1
    def variance(side: Any, how: str, n: int) -> float:
        around = {
            r: [(phi[k][r] - np.mean([phi[j][r] for j in side(r)])) ** 2 for k in side(r)]
            for r in judged
        }
        common = sum(map(sum, around.values())) / sum(len(v) - 1 for v in around.values())
        own, free = sum(around[n]), len(around[n]) - 1
        if how == "fixed":
            return float(common)
        return float(
            own / free if how == "per_example" else (own + SHRINK * common) / (free + SHRINK)
        )

    def normal(x: float, mu: float, var: float) -> float:
        return float(-((x - mu) ** 2) / (2 * var) - np.log(var) / 2)

    for centre, of in (("median", np.median), ("mean", np.mean)):
        for how in ("fixed", "per_example", "shrunken"):
            offline, online = [], []
            for n in judged:
                x = phi[target][n]
                v_out, v_in = variance(outside, how, n), variance(inside, how, n)
                mu_out = float(of([phi[k][n] for k in outside(n)]))
                mu_in = float(of([phi[k][n] for k in inside(n)]))
                offline.append((x - mu_out) / v_out**0.5)
                online.append(normal(x, mu_in, v_in) - normal(x, mu_out, v_out))
            out[f"lira offline {how} {centre}"] = offline
            out[f"lira online {how} {centre}"] = online

    # RMIA: Zarifzadeh et al. 2024, and its code (`>`, and how many `trim` leaves out)
    def rmia(reference: Any) -> dict[str, list[float]]:
        ratio = {n: truth[target][n] / reference(n) for n in range(RECORDS)}
        counts = [sum(ratio[n] / ratio[r] > GAMMA for r in population) for n in judged]
        return {"ratio": [ratio[n] for n in judged], "count": [float(c) for c in counts]}

    for a in (0.0, 0.3, 1.0):
        out[f"rmia offline {a}"] = rmia(
            lambda n, a=a: ((1 + a) * np.mean([truth[k][n] for k in outside(n)]) + (1 - a)) / 2
        )
    for trim in (0.0, 0.2):
        cut = int(trim * len(shadows))
        out[f"rmia online {trim}"] = rmia(
            lambda n, cut=cut: np.mean(
                sorted(truth[k][n] for k in shadows)[cut : len(shadows) - cut]
            )
        )

    # Ye et al. 2022, attacks R and P, and the code (0 and 1000)
    reference = []
    for n in judged:
        losses = sorted([0.0, 1000.0, *(-np.log(truth[k][n]) for k in outside(n))])
        places = np.linspace(0, 1, len(losses))
        reference.append(1 - float(np.interp(-np.log(truth[target][n]), losses, places)))
    out["reference"] = reference
    out["population rank"] = [
        sum(truth[target][r] < truth[target][n] for r in population) for n in judged
    ]

    # Salem et al. 2019; Song & Mittal 2021, equation 7; Li et al. 2021, and its code (order of the
    # arguments)
    entropy, modified, instance = [], [], []
    for n in judged:
        q, label = p[target][n], y[n]
        entropy.append(float(sum(v * np.log(v) for v in q)))
        wrong = [float(v * np.log(1 - v)) for c, v in enumerate(q) if c != label]
        modified.append(float((1 - q[label]) * np.log(q[label])) + sum(wrong))
        mean_in = np.mean([p[k][n] for k in inside(n)], axis=0)
        mean_out = np.mean([p[k][n] for k in outside(n)], axis=0)
        apart = [float(sum(m * np.log(m / q))) for m in (mean_out, mean_in)]
        instance.append(apart[0] - apart[1])
    return out | {"entropy": entropy, "modified_entropy": modified, "instance_vector": instance}


def text() -> str:
    """The file: one line for each innermost list, so that a difference shows where it is."""
    given = world()
    figures = json.loads(json.dumps(expected(given)), parse_float=rounded)
    body = {**given, "logits": json.loads(json.dumps(given["logits"]), parse_float=short)}
    whole = json.dumps({**body, "expected": figures}, indent=1)
    lists = re.compile(r"\[([^][]*)\]")
    return lists.sub(lambda found: f"[{' '.join(found[1].split())}]", whole) + "\n"


def rounded(number: str) -> float:
    return float(f"{float(number):.{DIGITS}g}")


def short(number: str) -> float:
    """A float32 as its shortest decimal."""
    return float(str(np.float32(number)))


if __name__ == "__main__":
    print(text(), end="")
