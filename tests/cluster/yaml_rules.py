"""What a cluster file must be: a schema, and rules that say what is wrong, one line each."""

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

ROOT = Path(__file__).parents[2]
LAUNCHED = ("aws", "gcp", "local")
RAY, RAYMIA = "2.60.0", "0.1.0"
Config = dict[str, Any]


def text(name: str) -> str:
    return (ROOT / "clusters" / f"{name}.yaml").read_text()


def documents(name: str) -> list[Config]:
    return list(yaml.safe_load_all(text(name)))


# ---- Ray's validation, and the needed part of the schema of a RayJob (KubeRay 1.5.1) -----------


def validate(config: Config) -> None:
    """As `ray up` does it, without a cloud. Private, so pinned with Ray."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(copy.deepcopy(config)))


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Named(BaseModel):
    name: str


class Container(Named):
    image: Annotated[str, Field(pattern=r":[^:]+$")]
    resources: dict[Literal["limits", "requests"], dict[str, str]]
    env: list[dict[str, Any]] = []


class PodSpec(BaseModel):
    containers: Annotated[list[Container], Field(min_length=1)]
    restartPolicy: Literal["Always", "OnFailure", "Never"] = "Always"
    nodeSelector: dict[str, str] = {}
    volumes: list[Named] = []


class Template(Strict):
    metadata: dict[str, dict[str, str]]
    spec: PodSpec


class Head(Strict):
    rayStartParams: dict[str, str]
    serviceType: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    template: Template


class Workers(Strict):
    groupName: str
    replicas: int
    minReplicas: int
    maxReplicas: int
    rayStartParams: dict[str, str]
    template: Template


class Autoscaler(Strict):
    version: Literal["v1", "v2"]
    idleTimeoutSeconds: int
    upscalingMode: Literal["Default", "Aggressive", "Conservative"] = "Default"


class Auth(Strict):
    mode: Literal["token", "disabled"]


class RayCluster(Strict):
    rayVersion: str
    enableInTreeAutoscaling: bool
    autoscalerOptions: Autoscaler
    authOptions: Auth
    headGroupSpec: Head
    workerGroupSpecs: Annotated[list[Workers], Field(min_length=1)]


class RayJobSpec(Strict):
    entrypoint: str
    submissionMode: Literal["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]
    shutdownAfterJobFinishes: bool
    ttlSecondsAfterFinished: int
    backoffLimit: int
    runtimeEnvYAML: str
    submitterPodTemplate: Template
    rayClusterSpec: RayCluster


class RayJob(Strict):
    apiVersion: Literal["ray.io/v1"]
    kind: Literal["RayJob"]
    metadata: Named
    spec: RayJobSpec


# ---- the rules: file -> what is wrong, one line each -------------------------------------------

SECRETS = re.compile(
    r"AKIA[0-9A-Z]{16}|-----BEGIN|aws_secret|(?i:(auth_token|password|secret_?key|api_?key)['\"]?\s*[:=]\s*['\"]?[A-Za-z0-9+/]{12,})"
    r"|RAY_AUTH_TOKEN\s*=|private_key\"?\s*:|\.pem\b"
)


def without_secrets(name: str, text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        if SECRETS.search(line):
            yield f"{name}.yaml:{number} looks like a secret: {line.strip()}"


def headed(name: str, text: str) -> Iterator[str]:
    head = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    for word in (
        "Before:",
        "Submit:",
        "Watch:",
        "Fetch:",
        "Stop:",
        "Idle:",
        *(["Start:"] if name != "kuberay" else []),
    ):
        if f"# {word}" not in head:
            yield f"{name}.yaml does not say {word}"
    for price in re.findall(r"(?:[$€]\s?\d[\d.]*|\d[\d.]*\s?(?:USD|EUR|dollars?))", text):
        yield f"{name}.yaml names a price: {price}"


def starts(config: Config) -> dict[str, str]:
    """The one command that starts Ray, on the head and on a worker."""
    out = {}
    for who in ("head", "worker"):
        commands = [
            c for c in config[f"{who}_start_ray_commands"] if re.search(r"\bray start\b", c)
        ]
        out[who] = commands[0] if len(commands) == 1 else ""
    return out


def token(config: Config) -> Iterator[str]:
    for who, command in starts(config).items():
        before, _, _ = command.partition("ray start")
        if not re.search(r"export [^;]*\bRAY_AUTH_MODE=token\b[^;]*;", before):
            yield f"{who}: `ray start` does not run in token mode"
    if not any(path.endswith(".ray/auth_token") for path in config.get("file_mounts", {})):
        yield "no node gets the token"
    if not any(
        "chmod 600" in command and "auth_token" in command for command in config["setup_commands"]
    ):
        yield "the token's file is open to others"


def loopback(config: Config) -> Iterator[str]:
    commands = [*starts(config).values(), *config["setup_commands"]]
    if "--dashboard-host=127.0.0.1" not in commands[0]:
        yield "the dashboard is not told to stay on loopback"
    for command in commands:
        if re.search(
            r"0\.0\.0\.0|--dashboard-host=(?!127\.0\.0\.1)|--ray-client-server-port", command
        ):
            yield f"opens a port: {command}"


def pinned(config: Config) -> Iterator[str]:
    setup = " ".join(config["setup_commands"])
    if f"ray[default,tune]=={RAY}" not in setup:
        yield f"ray is not pinned to {RAY}"
    if f"raymia-{RAYMIA}-py3-none-any.whl" not in setup or "--constraint" not in setup:
        yield f"raymia {RAYMIA} and what it needs are not pinned"
    for key, image in config.get("docker", {}).items():
        if key.endswith("image") and f":{RAY}-py3" not in image:
            yield f"docker.{key} is not pinned: {image}"


def scales(config: Config) -> Iterator[str]:
    if not 0 < config.get("idle_timeout_minutes", 0) <= 15:
        yield "idle nodes stay"
    if config["provider"]["type"] == "local":
        return
    kinds, head = config["available_node_types"], config["head_node_type"]
    if kinds[head].get("resources", {}).get("CPU") != 0:
        yield "the head runs trials"
    if _spot(kinds[head]["node_config"]):
        yield "the head can be preempted"
    for kind, one in kinds.items():
        if kind != head and not _spot(one["node_config"]):
            yield f"{kind} is not a spot machine"
        if kind != head and (one.get("min_workers", 0) != 0 or one.get("max_workers", 0) < 1):
            yield f"{kind} does not come and go"


def _spot(node: Config) -> bool:
    market = node.get("InstanceMarketOptions", {}).get("MarketType")
    return market == "spot" or node.get("scheduling", {}).get("provisioningModel") == "SPOT"


def closed(config: Config) -> Iterator[str]:
    """Only ssh is open; the metadata service of AWS asks for a session; no long-lived key."""
    provider = config["provider"]
    rules = provider.get("security_group", {}).get("IpPermissions", [])
    if any((rule.get("FromPort"), rule.get("ToPort")) != (22, 22) for rule in rules):
        yield "more than ssh is open"
    if (
        "ssh_private_key" in config.get("auth", {})
        or "gcp_credentials" in provider
        or "aws_credentials" in provider
    ):
        yield "names a key"
    for kind, one in config.get("available_node_types", {}).items():
        node = one["node_config"]
        if provider["type"] == "aws":
            options = node.get("MetadataOptions", {})
            if (
                options.get("HttpTokens") != "required"
                or options.get("HttpPutResponseHopLimit") != 1
            ):
                yield f"{kind}: IMDSv2 is not required"
            if not provider.get("security_group"):
                yield "no security group of its own"
            if "IamInstanceProfile" not in node:
                yield f"{kind}: Ray would give it a role that may do everything"
        networks = [
            one["subnetwork"] for one in node.get("networkInterfaces", [{"subnetwork": ""}])
        ]
        if provider["type"] == "gcp" and not all("/raymia" in one for one in networks):
            yield f"{kind} stands in a network with other open ports"


def firewall(name: str, text: str) -> Iterator[str]:
    """What the gcp file tells people to open: ssh to the world, the rest to the nodes."""
    for rule in re.findall(r"firewall-rules create (.*)", text):
        if "--source-ranges=10." not in rule and "--allow=tcp:22" not in rule.split():
            yield f"{name}.yaml opens more than ssh: {rule}"


RULES = (token, loopback, pinned, scales, closed)


def kuberay(docs: list[Config]) -> Iterator[str]:
    try:
        spec = RayJob.model_validate(docs[0]).spec
    except (ValidationError, IndexError) as error:
        yield f"is no RayJob: {error}"
        return
    cluster, submitter = spec.rayClusterSpec, spec.submitterPodTemplate
    head, workers = cluster.headGroupSpec, cluster.workerGroupSpecs
    pods = [head.template, submitter, *(group.template for group in workers)]
    if cluster.authOptions.mode != "token":
        yield "not in token mode"
    if cluster.rayVersion != RAY:
        yield f"ray is not {RAY}"
    if not cluster.enableInTreeAutoscaling or cluster.autoscalerOptions.version != "v2":
        yield "no autoscaler v2"
    if (
        not 0 < cluster.autoscalerOptions.idleTimeoutSeconds <= 900
        or not spec.shutdownAfterJobFinishes
    ):
        yield "idle nodes stay"
    if head.rayStartParams.get("num-cpus") != "0":
        yield "the head runs trials"
    if any(_spot_pod(group.template.spec) is False for group in workers) or _spot_pod(
        head.template.spec
    ):
        yield "workers are spot machines and the head is none"
    for pod in pods:
        for container in pod.spec.containers:
            if not container.image.endswith(f"raymia:{RAYMIA}-ray{RAY}"):
                yield f"{container.image} is not pinned"
            for variable in container.env:
                if "TOKEN" in variable["name"] or "KEY" in variable["name"]:
                    yield f"{variable['name']} stands in the file"
    yield from _told(head, workers)
    if head.serviceType != "ClusterIP":
        yield "the head is open to the world"
    if head.rayStartParams.get("dashboard-host") != "127.0.0.1":
        yield from _walled(docs, pods)


def _told(head: Any, workers: list[Any]) -> Iterator[str]:
    """The cluster begins without workers: the preflight must be told how many there will be,
    and of what size.
    """
    limits = [
        (group.maxReplicas, group.template.spec.containers[0].resources["limits"])
        for group in workers
    ]
    most = " ".join(
        f"{count}:CPU={has['cpu']},GPU={has['nvidia.com/gpu']}" for count, has in limits
    )
    if {"name": "RAYMIA_MAX_NODES", "value": most} not in head.template.spec.containers[0].env:
        yield f"the head does not say RAYMIA_MAX_NODES={most}"


def _spot_pod(pod: PodSpec) -> bool:
    return any(
        "spot" in key.lower() or value.upper() == "SPOT" for key, value in pod.nodeSelector.items()
    )


def _walled(docs: list[Config], pods: list[Template]) -> Iterator[str]:
    """The dashboard is off loopback: then a policy must shut the pods off from all but
    themselves and the operator.
    """
    policies = [d for d in docs if d.get("kind") == "NetworkPolicy"]
    wanted = policies[0]["spec"]["podSelector"].get("matchLabels", {}) if policies else {}
    if not wanted or "Ingress" not in policies[0]["spec"].get("policyTypes", []):
        yield "the dashboard is off loopback and nothing shuts it off"
        return
    for pod in pods:
        if not wanted.items() <= pod.metadata.get("labels", {}).items():
            yield "a pod is outside of the policy"
    for rule in policies[0]["spec"].get("ingress", []):
        sources = rule.get("from") or [{}]
        for source in sources:
            labels = source.get("podSelector", {}).get("matchLabels", {})
            own = labels == wanted and "namespaceSelector" not in source
            operator = labels == {"app.kubernetes.io/name": "kuberay-operator"}
            if not own and not (
                operator and [p.get("port") for p in rule.get("ports", [])] == [8265]
            ):
                yield f"the policy lets in {source}"
