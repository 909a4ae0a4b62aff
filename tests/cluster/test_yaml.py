"""The cluster files hold their rules, and each rule is shown to fail."""

import copy
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .yaml_rules import (
    LAUNCHED,
    RAY,
    ROOT,
    RULES,
    Config,
    closed,
    documents,
    firewall,
    headed,
    kuberay,
    loopback,
    pinned,
    scales,
    text,
    token,
    validate,
    without_secrets,
)

# ---- they hold ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LAUNCHED)
def test_ray_takes_it(name: str) -> None:
    validate(documents(name)[0])


@pytest.mark.parametrize("name", LAUNCHED)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_rule_holds(rule: Callable[[Config], Iterator[str]], name: str) -> None:
    assert list(rule(documents(name)[0])) == []


@pytest.mark.parametrize("name", [*LAUNCHED, "kuberay"])
@pytest.mark.parametrize(
    "rule", [without_secrets, headed, firewall], ids=lambda rule: rule.__name__
)
def test_text_holds(rule: Callable[[str, str], Iterator[str]], name: str) -> None:
    assert list(rule(name, text(name))) == []


def test_kuberay_holds() -> None:
    assert list(kuberay(documents("kuberay"))) == []


def test_every_file_is_tested() -> None:
    assert {path.stem for path in (ROOT / "clusters").glob("*.y*ml")} == {*LAUNCHED, "kuberay"}


# ---- and can fail ------------------------------------------------------------------------------


def broken(config: Any, path: str, value: Any) -> Any:
    """A copy in which one place says something else; None takes it away."""
    config = copy.deepcopy(config)
    *way, last = [int(step) if step.isdigit() else step for step in path.split("/")]
    at = config
    for step in way:
        at = at[step]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return config


HEAD, WORKER = (
    "export RAY_AUTH_MODE=token; ray start --head",
    "ray start --address=$RAY_HEAD_IP:6379",
)
AWS_WORKER = "available_node_types/worker/node_config"
BAD: list[tuple[Any, str, str, Any]] = [
    (token, "aws", "head_start_ray_commands/1", "ray start --head --dashboard-host=127.0.0.1"),
    (token, "aws", "worker_start_ray_commands/1", WORKER),
    (token, "gcp", "worker_start_ray_commands/1", "export RAY_AUTH_MODE=disabled; " + WORKER),
    (token, "local", "worker_start_ray_commands/1", WORKER + "; export RAY_AUTH_MODE=token;"),
    (token, "local", "file_mounts", {}),
    (token, "aws", "setup_commands", ["pip install raymia"]),
    (loopback, "aws", "head_start_ray_commands/1", HEAD),
    (loopback, "gcp", "head_start_ray_commands/1", HEAD + " --dashboard-host=0.0.0.0"),
    (
        loopback,
        "local",
        "head_start_ray_commands/1",
        HEAD + " --dashboard-host=127.0.0.1 --ray-client-server-port=10001",
    ),
    (pinned, "aws", "setup_commands/1", "pip install ray[default,tune] raymia"),
    (pinned, "gcp", "docker/worker_image", "rayproject/ray:latest-gpu"),
    (pinned, "local", "setup_commands/2", f"pip install ray[default,tune]=={RAY} raymia"),
    (scales, "aws", f"{AWS_WORKER}/InstanceMarketOptions", None),
    (
        scales,
        "aws",
        "available_node_types/head/node_config/InstanceMarketOptions",
        {"MarketType": "spot"},
    ),
    (scales, "gcp", f"{AWS_WORKER}/scheduling/provisioningModel", "STANDARD"),
    (scales, "gcp", "available_node_types/head/resources", {"CPU": 2}),
    (scales, "aws", "available_node_types/worker/min_workers", 2),
    (scales, "local", "idle_timeout_minutes", 600),
    (
        closed,
        "aws",
        "provider/security_group/IpPermissions",
        [{"FromPort": 8265, "ToPort": 8265, "IpProtocol": "tcp"}],
    ),
    (closed, "aws", f"{AWS_WORKER}/MetadataOptions/HttpTokens", "optional"),
    (closed, "aws", "available_node_types/head/node_config/MetadataOptions", None),
    (closed, "aws", "available_node_types/head/node_config/IamInstanceProfile", None),
    (closed, "aws", "provider/security_group", None),
    (closed, "aws", "auth/ssh_private_key", "~/.ssh/mine"),
    (closed, "gcp", f"{AWS_WORKER}/networkInterfaces", None),
]


@pytest.mark.parametrize(
    ("rule", "name", "path", "value"),
    BAD,
    ids=lambda v: getattr(v, "__name__", None) or str(v)[:40],
)
def test_rule_can_fail(
    rule: Callable[[Config], Iterator[str]], name: str, path: str, value: Any
) -> None:
    assert list(rule(broken(documents(name)[0], path, value)))


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("aws", "head_node_type", "nobody"),
        ("aws", "max_worker", 3),
        ("gcp", "max_workers", -1),
        ("aws", "available_node_types/worker/min_workers", 99),
        ("local", "provider/worker_ips", None),
    ],
)
def test_ray_refuses(name: str, path: str, value: Any) -> None:
    with pytest.raises((Exception, SystemExit)):
        validate(broken(documents(name)[0], path, value))


CLUSTER, GROUP = "0/spec/rayClusterSpec", "0/spec/rayClusterSpec/workerGroupSpecs/0"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("0/kind", "RayCluster"),
        ("0/spec/entrypoints", "x"),
        ("0/spec/entrypoint", None),
        (f"{CLUSTER}/authOptions/mode", "disabled"),
        (f"{CLUSTER}/authOptions", None),
        (f"{CLUSTER}/rayVersion", "2.61.0"),
        (f"{CLUSTER}/enableInTreeAutoscaling", False),
        (f"{CLUSTER}/autoscalerOptions/version", "v1"),
        (f"{CLUSTER}/autoscalerOptions/idleTimeoutSeconds", 86400),
        (f"{CLUSTER}/headGroupSpec/rayStartParams/num-cpus", "2"),
        (f"{CLUSTER}/headGroupSpec/serviceType", "LoadBalancer"),
        (f"{CLUSTER}/headGroupSpec/template/spec/containers/0/env", []),
        (f"{GROUP}/maxReplicas", 9),
        (
            f"{CLUSTER}/headGroupSpec/template/spec/nodeSelector",
            {"cloud.google.com/gke-spot": "true"},
        ),
        (f"{CLUSTER}/headGroupSpec/template/metadata/labels", {}),
        (f"{GROUP}/template/spec/nodeSelector", {}),
        (f"{GROUP}/template/spec/containers/0/image", "raymia:latest"),
        (f"{GROUP}/template/spec/containers/0/env", [{"name": "RAY_AUTH_TOKEN", "value": "x"}]),
        ("0/spec/shutdownAfterJobFinishes", False),
        ("1", None),
        ("1/spec/podSelector", {}),
        ("1/spec/policyTypes", ["Egress"]),
        ("1/spec/ingress/0/from", []),
        ("1/spec/ingress/0/from", [{"ipBlock": {"cidr": "0.0.0.0/0"}}]),
        ("1/spec/ingress/1/ports", [{"port": 6379}]),
    ],
)
def test_kuberay_can_fail(path: str, value: Any) -> None:
    assert list(kuberay(broken(documents("kuberay"), path, value)))


@pytest.mark.parametrize(
    "line",
    [
        "  key: AKIAABCDEFGHIJKLMNOP",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "aws_secret_access_key: x",
        "export RAY_AUTH_TOKEN=0123",
        "auth_token: 9f86d081884c7d659a2feaa0c55ad015",
        "  password: correcthorsebattery",
        "ssh_private_key: ~/.ssh/id",
    ],
)
def test_secrets_are_seen(line: str) -> None:
    assert list(without_secrets("aws", text("aws") + line + "\n"))


def test_prices_and_missing_headings_are_seen() -> None:
    assert list(headed("aws", text("aws") + "# costs $0.53 an hour\n"))
    assert list(headed("aws", text("aws").replace("# Idle:", "# ")))
    assert list(firewall("gcp", "gcloud compute firewall-rules create x --allow=tcp:8265"))


# ---- what travels with a job -------------------------------------------------------------------


def test_results_data_history_and_secrets_are_not_uploaded(tmp_path: Path) -> None:
    from ray._private.runtime_env.packaging import create_package

    here = tmp_path / "work"
    stay = [
        ".git/config",
        ".venv/bin/python",
        "results/x/trials/a.json",
        "data/cifar/x",
        ".env",
        ".aws/credentials",
        "keys/me.pem",
    ]
    stay += [
        "raymia/__pycache__/x.pyc",
        ".pytest_cache/x",
        ".mypy_cache/x",
        ".ruff_cache/x",
        ".hypothesis/x",
        "dist/x.whl",
    ]
    stay += ["keys/me.pem", ".ray/auth_token", "raymia.egg-info/PKG-INFO"]
    go = [
        "sweeps/x.yaml",
        "raymia/data.py",
        "raymia/results.py",
        "raymia/datasets/digits.py",
        "pyproject.toml",
        "mine/people.csv",
    ]
    for name in stay + go:
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text("x")
    (here / ".rayignore").write_text((ROOT / ".rayignore").read_text())
    package = tmp_path / "package.zip"
    create_package(str(here), package, include_gitignore=False)
    with zipfile.ZipFile(package) as file:
        sent = set(file.namelist())
    assert {name for name in sent if not name.endswith("/")} == {*go, ".rayignore"}
