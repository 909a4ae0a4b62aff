"""How much fits, and how large a cluster can become."""

import json
from pathlib import Path

import pytest

from raymia.cluster import capacity
from raymia.cluster.capacity import Node, at_once, bundles, reachable
from raymia.errors import EnvironmentFault, SweepError
from raymia.study.sweep import Resources

HEAD: Node = {"memory": 1.0}
GPU: Node = {"CPU": 4.0, "GPU": 1.0}
ANY = Resources()


@pytest.fixture(autouse=True)
def nobody_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RAYMIA_MAX_NODES", raising=False)
    monkeypatch.setattr(capacity, "_LAUNCHED", tmp_path / "config")


@pytest.mark.parametrize(
    ("asked", "nodes", "count"),
    [
        (Resources(gpu=1, spread=2), [GPU, GPU], 1),
        (Resources(gpu=1, spread=2), [GPU] * 5, 2),
        (Resources(gpu=0.5), [HEAD, GPU, GPU], 4),  # two share a GPU
        (Resources(gpu=0.5, spread=2), [GPU], 1),
        (Resources(cpu=3, spread=2), [GPU, GPU], 1),  # one bundle a node
    ],
)
def test_how_many_fit(asked: Resources, nodes: list[Node], count: int) -> None:
    assert at_once(asked, nodes) == count


def test_a_trial_reserves_all_its_bundles_and_none_that_is_empty() -> None:
    assert bundles(Resources(gpu=0.5, spread=3)) == [{"CPU": 1.0, "GPU": 0.5}] * 3
    assert bundles(Resources(cpu=2)) == [{"CPU": 2.0}]


@pytest.mark.parametrize(
    ("asked", "nodes", "growing", "said"),
    [
        (
            Resources(gpu=1, spread=3),
            [GPU, GPU],
            False,
            "3 times (resources.spread) 1 CPU and 1 GPU",
        ),
        (Resources(gpu=1, spread=3), [GPU, GPU], False, "2 nodes have room for that 2 times"),
        (
            Resources(gpu=2),
            [GPU, GPU],
            False,
            "2 GPU (resources.cpu, resources.gpu) and the largest of 2 nodes has 4 CPU",
        ),
        (
            Resources(gpu=2),
            [HEAD, *[GPU] * 8],
            True,
            "the largest of 9 nodes that the cluster can grow to has 4 CPU and 1 GPU",
        ),
        (Resources(cpu=1), [HEAD], False, "the machine has 0 CPU"),
    ],
)
def test_the_arithmetic_is_said(
    asked: Resources, nodes: list[Node], growing: bool, said: str
) -> None:
    with pytest.raises(SweepError) as refused:
        at_once(asked, nodes, growing)
    assert said in str(refused.value) and "it could never start" in str(refused.value)


def test_what_is_there_is_all_where_nobody_says_more() -> None:
    assert reachable([HEAD, GPU], ANY) == ((HEAD, GPU), False)


def test_the_knob_says_how_far_a_cluster_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYMIA_MAX_NODES", "2:CPU=4,GPU=1 1:CPU=64")
    assert reachable([HEAD], ANY) == ((HEAD, GPU, GPU, {"CPU": 64.0}), True)
    assert at_once(Resources(gpu=0.5), reachable([HEAD], ANY)[0]) == 4
    for wrong in ("8", "8:CPU", "x:CPU=1", "8:CPU=4;GPU=1"):
        monkeypatch.setenv("RAYMIA_MAX_NODES", wrong)
        with pytest.raises(EnvironmentFault, match="COUNT:CPU=n"):
            reachable([HEAD], ANY)


def test_the_file_of_ray_up_says_how_far(tmp_path: Path) -> None:
    kinds = {
        "head": {"resources": {"CPU": 0}},
        "worker": {"max_workers": 8, "resources": {"CPU": 4, "GPU": 1}},
    }
    config = {"max_workers": 3, "head_node_type": "head", "available_node_types": kinds}
    (tmp_path / "config").write_text(json.dumps(config))
    assert reachable([HEAD], ANY) == ((HEAD, GPU, GPU, GPU), True)
    (tmp_path / "config").write_text("max_workers: 3")
    assert reachable([HEAD], ANY) == ((HEAD,), False)


def test_nodes_that_are_there_are_among_the_most_that_there_can_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAYMIA_MAX_NODES", "3:CPU=4,GPU=1")
    there = {**GPU, "memory": 5.0, "node:10.0.0.1": 1.0}
    head = {**GPU, "node:__internal_head__": 1.0}
    # a head of the same size is none of them
    assert reachable([head, there], ANY)[0] == (
        head,
        GPU,
        GPU,
        GPU,
    )
    nodes, growing = reachable([HEAD, there, there], ANY)
    assert nodes == (HEAD, GPU, GPU, GPU) and growing
    with pytest.raises(SweepError, match="room for that 3 times"):
        at_once(Resources(gpu=1, spread=4), nodes, growing)
    assert len(reachable([HEAD, *[there] * 5], ANY)[0]) == 6  # more than we were told


def test_kinds_that_share_a_limit_do_not_add_up(tmp_path: Path) -> None:
    kinds = {
        "head": {"resources": {"CPU": 0}},
        "small": {"max_workers": 8, "resources": {"CPU": 4, "GPU": 1}},
        "large": {"max_workers": 8, "resources": {"CPU": 64}},
    }
    (tmp_path / "config").write_text(
        json.dumps({"max_workers": 8, "head_node_type": "head", "available_node_types": kinds})
    )
    nodes, growing = reachable([HEAD], Resources(gpu=1))
    assert nodes == (HEAD, *[GPU] * 8)
    assert reachable([HEAD], Resources(cpu=32))[0] == (HEAD, *[{"CPU": 64}] * 8)
    with pytest.raises(SweepError):
        at_once(Resources(gpu=1, spread=16), nodes, growing)
