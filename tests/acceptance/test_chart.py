"""The Helm chart, rendered by Helm itself: its objects are valid, fit together, and hold what `serve` accepts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jsonschema
import kubernetes_validate
import pytest
import yaml

from entrepot.config import check, load
from entrepot.vault.master import KeySource
from tests.support import helm_charts
from tests.support.tools import ROOT

CHART = ROOT / "deploy" / "chart" / "entrepot"
KUBERNETES = ("1.27", "1.33")
KEY = "c2VjcmV0IGtleSBvZiAzMiBieXRlcyBmb3IgdGVzdHM="

EXTERNAL: Final = {
    "database": {"type": "external", "external": {"host": "db.example", "existingSecret": "db"}},
    "existingSecretSecretKey": "key",
}
S3: Final = {
    "persistence": {
        "imageChartStorage": {
            "type": "s3",
            "s3": {"region": "us-east-1", "bucket": "images", "regionendpoint": "https://s3.example"},
            "existingSecret": "s3",
        }
    }
}
CLUSTER: Final = {**EXTERNAL, **S3}
SEVERAL: Final = {"registry": {"replicas": 3}, "jobservice": {"replicas": 2}}
VALUES: Final[Mapping[str, Any]] = {
    "nothing": {},
    "no volume": {"persistence": {"enabled": False}},
    "own claim, node port, no TLS": {
        "persistence": {"persistentVolumeClaim": {"registry": {"existingClaim": "mine"}}},
        "expose": {"type": "nodePort", "tls": {"enabled": False}, "service": {"nodePort": 30500}},
        "externalURL": "http://registry.example.org:30500",
    },
    "passwords as values": {"harborAdminPassword": "seven boats", "secretKey": KEY},
    "passwords by reference": {"existingSecretAdminPassword": "admin", "existingSecretAdminPasswordKey": "password"},
    "PostgreSQL and a volume": EXTERNAL,
    "PostgreSQL and a shared volume": {
        **EXTERNAL,
        **SEVERAL,
        "persistence": {"persistentVolumeClaim": {"registry": {"accessMode": "ReadWriteMany", "storageClass": "nfs"}}},
    },
    "a cluster": {**CLUSTER, **SEVERAL},
    "a cluster with passwords as values": {
        **S3,
        "secretKey": KEY,
        "database": {"type": "external", "external": {"host": "db.example", "password": "drawbridge"}},
        "redis": {"type": "external", "external": {"addr": "valkey.example:6379", "password": "lantern"}},
    },
    "a cluster that scales": {
        **CLUSTER,
        "registry": {"autoscaling": {"enabled": True, "inFlight": "50"}},
        "redis": {"type": "external", "external": {"addr": "a:26379,b:26379", "sentinelMasterSet": "cache"}},
    },
    "watched and walled in": {
        **CLUSTER,
        **SEVERAL,
        "metrics": {"enabled": True, "serviceMonitor": {"enabled": True, "additionalLabels": {"release": "prom"}}},
        "networkPolicy": {
            "enabled": True,
            "from": [{"namespaceSelector": {"matchLabels": {"name": "ingress"}}}],
            "monitoring": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
            "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}],
        },
    },
    "an ingress whose pods are known": {**CLUSTER, "trustedProxies": ["10.42.7.0/24"]},
    "a gateway's route": {
        **CLUSTER,
        "expose": {"type": "route", "route": {"parentRefs": [{"name": "gateway", "namespace": "infra"}]}},
    },
    "a balancer of a cloud": {
        **CLUSTER,
        "expose": {
            "type": "loadBalancer",
            "service": {"sourceRanges": ["10.0.0.0/8"], "annotations": {"cloud.example/idle-timeout": "900"}},
        },
    },
    "where pods go": {
        **CLUSTER,
        "imagePullSecrets": [{"name": "pull"}],
        "serviceAccount": {"annotations": {"cloud.example/role": "images"}},
        "registry": {
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"key": "images", "operator": "Exists"}],
            "priorityClassName": "important",
            "podAnnotations": {"seen": "yes"},
            "podLabels": {"team": "images"},
            "extraEnvVars": [{"name": "REGISTRY_LOG_LEVEL", "value": "debug"}],
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {}}
            ],
        },
        "config": {"lifecycle": {"trash": "720h"}},
    },
}
REFUSED: Final[Mapping[str, tuple[Any, str]]] = {
    "several pods with SQLite": ({"registry": {"replicas": 2}}, "several need database.type: external"),
    "an object store with SQLite": (S3, "an object store needs database.type: external"),
    "no host": ({"database": {"type": "external"}}, "name the server in database.external.host"),
    "no key": (
        {"database": {"type": "external", "external": {"host": "db.example"}}},
        "give a secretKey (openssl rand -base64 32)",
    ),
    "many pods on a volume of one node": ({**EXTERNAL, "registry": {"replicas": 2}}, "accessMode: ReadWriteMany"),
    "a store that is none": ({"persistence": {"imageChartStorage": {"type": "swift"}}}, "and not swift"),
    "a way that is none": ({"expose": {"type": "tunnel"}}, "and not tunnel"),
    "a route to nowhere": ({**CLUSTER, "expose": {"type": "route"}}, "name the gateway in expose.route.parentRefs"),
}


def closed(**properties: Any) -> dict[str, Any]:
    """Give the schema of an object with these fields and no others."""
    return {"type": "object", "properties": properties, "additionalProperties": False}


TEXT: Final = {"type": "string"}
TEXTS: Final = {"type": "object", "additionalProperties": TEXT}
META: Final = closed(name=TEXT, namespace=TEXT, labels=TEXTS, annotations=TEXTS)
#: Of kinds that are not Kubernetes' own: what the chart uses of them, as their definitions say.
OWN_KINDS: Final = {
    "ServiceMonitor": closed(
        apiVersion={"const": "monitoring.coreos.com/v1"},
        kind=TEXT,
        metadata=META,
        spec={
            **closed(
                namespaceSelector=closed(matchNames={"type": "array", "items": TEXT}),
                selector=closed(matchLabels=TEXTS),
                endpoints={"type": "array", "items": closed(port=TEXT, path=TEXT, interval=TEXT)},
            ),
            "required": ["selector", "endpoints"],
        },
    ),
    "HTTPRoute": closed(
        apiVersion={"const": "gateway.networking.k8s.io/v1"},
        kind=TEXT,
        metadata=META,
        spec=closed(
            parentRefs={"type": "array", "minItems": 1, "items": closed(name=TEXT, namespace=TEXT, sectionName=TEXT)},
            hostnames={"type": "array", "items": TEXT},
            rules={
                "type": "array",
                "items": closed(
                    matches={"type": "array", "items": closed(path=closed(type={"const": "PathPrefix"}, value=TEXT))},
                    timeouts=closed(request={"const": "0s"}, backendRequest={"const": "0s"}),
                    backendRefs={"type": "array", "items": closed(name=TEXT, port={"type": "integer"})},
                ),
            },
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Release:
    """The objects of a rendered chart."""

    objects: list[dict[str, Any]]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """List the objects of a kind."""
        return [found for found in self.objects if found["kind"] == kind]

    def pods(self) -> dict[str, dict[str, Any]]:
        """Return what the pods of each Deployment are, by its component."""
        return {
            found["metadata"]["labels"]["app.kubernetes.io/component"]: found["spec"]["template"]
            for found in self.of("Deployment")
        }

    @property
    def config(self) -> str:
        """The configuration file."""
        (found,) = self.of("ConfigMap")
        text: str = found["data"]["config.yml"]
        return text


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    """Render all in one run of Helm: it takes a moment to load."""
    wanted = {**VALUES, **{name: values for name, (values, _) in REFUSED.items()}}
    lines = "".join(json.dumps(values) + "\n" for values in wanted.values())
    program = [sys.executable, helm_charts.__file__, str(CHART)]
    done = subprocess.run(program, input=lines, text=True, check=True, capture_output=True)
    return dict(zip(wanted, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.fixture(params=VALUES)
def release(request: pytest.FixtureRequest, answers: dict[str, Any]) -> Release:
    """Give the objects for a set of values, of which Helm has nothing bad to say."""
    answer = answers[request.param]
    assert "refused" not in answer, answer
    assert answer["lint"]["errors"] == []
    assert [one for one in answer["lint"]["messages"] if one["severity"] > 1] == []
    manifests = [text for name, text in answer["rendered"].items() if name.endswith(".yaml")]
    return Release([found for text in manifests for found in yaml.safe_load_all(text) if found])


def test_its_objects_are_valid(release: Release) -> None:
    """Kubernetes' own schemas, in which no field is unknown, accept each object; so do ours for kinds of others."""
    for found in release.objects:
        if (schema := OWN_KINDS.get(found["kind"])) is not None:
            jsonschema.validate(found, schema)
            continue
        for version in KUBERNETES:
            kubernetes_validate.validate(found, version, strict=True)


def test_its_objects_fit_together(release: Release) -> None:
    """What one names of another is there: pods, ports, claims, secrets that are not the operator's own."""
    pods = release.pods()
    names = {(found["kind"], found["metadata"]["name"]) for found in release.objects}
    assert len(names) == len(release.objects)
    for found in release.of("Deployment"):
        assert found["spec"]["selector"]["matchLabels"].items() <= labels_of(found["spec"]["template"]).items()
    for selector in selectors_of(release):
        assert any(selector.items() <= labels_of(pod).items() for pod in pods.values()), selector
    (service,) = [found for found in release.of("Service") if not found["metadata"]["name"].endswith("-metrics")]
    taken = [pod for pod in pods.values() if service["spec"]["selector"].items() <= labels_of(pod).items()]
    assert [pod["spec"]["containers"][0]["ports"][0]["name"] for pod in taken] == ["http"]
    for pod in pods.values():
        assert set(named_by(pod)) <= names | {("Secret", name) for name in ("db", "key", "s3", "admin")} | {
            ("PersistentVolumeClaim", "mine")
        }
    for scaler in release.of("HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) in names
        assert all("replicas" not in found["spec"] for found in release.of("Deployment")[:1])


def labels_of(pod: Mapping[str, Any]) -> dict[str, str]:
    """Return the labels of a pod."""
    labels: dict[str, str] = pod["metadata"]["labels"]
    return labels


def selectors_of(release: Release) -> Iterator[dict[str, str]]:
    """Give how other objects choose pods."""
    for found in release.of("Service"):
        yield found["spec"]["selector"]
    for found in release.of("PodDisruptionBudget"):
        yield found["spec"]["selector"]["matchLabels"]
    for found in release.of("NetworkPolicy"):
        yield found["spec"]["podSelector"]["matchLabels"]


def named_by(pod: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Give kind and name of each object that a pod needs."""
    for volume in pod["spec"]["volumes"]:
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"]
        if "secret" in volume:
            yield "Secret", volume["secret"]["secretName"]
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]
    for container in pod["spec"]["containers"]:
        for variable in container["env"]:
            if (reference := variable.get("valueFrom", {}).get("secretKeyRef")) is not None:
                yield "Secret", reference["name"]


def test_pods_are_careful_and_leave_in_order(release: Release) -> None:
    """No root, nothing to write but what is mounted, no token; the time to end is that of delay and drain and more."""
    config = yaml.safe_load(release.config)
    for component, pod in release.pods().items():
        spec, (container,) = pod["spec"], pod["spec"]["containers"]
        assert spec["securityContext"]["runAsNonRoot"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert (spec["automountServiceAccountToken"], spec["enableServiceLinks"]) == (False, False)
        seconds = [int(config["http"][name].removesuffix("s")) for name in ("draindelay", "draintimeout")]
        assert seconds[0] >= 5
        assert spec["terminationGracePeriodSeconds"] == sum(seconds) + 10
        probe = container["readinessProbe"]
        assert probe["httpGet"]["path"] == ("/debug/health" if component == "jobservice" else "/readyz")
        assert probe["periodSeconds"] * probe["failureThreshold"] < seconds[0]
        assert container["startupProbe"]["httpGet"] == container["livenessProbe"]["httpGet"]


def test_its_configuration_is_accepted_and_holds_no_secret(release: Release, tmp_path: Path) -> None:
    """`entrepot config check` finds no fault with file and variables of each pod; secrets are not in the file."""
    assert not any(word in release.config for word in ("drawbridge", "lantern", "seven boats", KEY))
    (tmp_path / "config.yml").write_text(release.config, encoding="utf-8")
    (tmp_path / "secretKey").write_text(KEY, encoding="utf-8")
    for pod in release.pods().values():
        variables = dict(variables_of(pod, tmp_path))
        if yaml.safe_load(release.config)["storage"].get("s3"):
            variables |= {"REGISTRY_STORAGE_S3_ACCESSKEY": "ours", "REGISTRY_STORAGE_S3_SECRETKEY": "secret"}
        report = check(tmp_path / "config.yml", variables)
        assert report.problems == []
        # The chart's TLS ends before the pod; Redis is for what is shared by nodes and may be lost.
        expected = ("http.tls: is not set", "redis: is not used")
        assert [text for text in report.warnings if not text.startswith(expected)] == []


def test_nobody_reaches_a_debug_port_unless_somebody_measures(release: Release) -> None:
    """Whoever reaches it may take a pod out of service; pods for jobs, which no client asks, are probed there."""
    config = yaml.safe_load(release.config)
    measured = any(found["metadata"]["name"].endswith("-metrics") for found in release.of("Service"))
    assert ("debug" in config["http"]) == measured
    for component, pod in release.pods().items():
        (container,) = pod["spec"]["containers"]
        is_for_jobs = component == "jobservice"
        assert ({"name": "debug", "containerPort": 5001} in container["ports"]) == (measured or is_for_jobs)
        variables = {variable["name"]: variable.get("value") for variable in container["env"]}
        assert variables.get("REGISTRY_HTTP_DEBUG_ADDR") == (":5001" if is_for_jobs else None)


def test_the_secret_key_is_private_enough_for_the_registry(release: Release, tmp_path: Path) -> None:
    """Kubernetes lets everybody read a mounted secret unless told otherwise, and such a key is refused at start."""
    for pod in release.pods().values():
        for volume in pod["spec"]["volumes"]:
            if volume["name"] == "secret-key":
                file = tmp_path / "secretKey"
                file.write_text(KEY, encoding="utf-8")
                file.chmod(volume["secret"].get("defaultMode", 0o644))
                assert KeySource(None, {"ENTREPOT_SECRET_KEY_FILE": str(file)}).load()
                assert file.stat().st_mode & 0o040, "the pod's group may read it"
                assert pod["spec"]["securityContext"]["fsGroup"] == pod["spec"]["securityContext"]["runAsGroup"]
                file.unlink()


def test_an_ingress_that_is_named_says_who_the_clients_are(answers: dict[str, Any], tmp_path: Path) -> None:
    """Otherwise all clients count as one, and whoever guesses passwords makes everybody wait."""
    (config,) = (
        found["data"]["config.yml"]
        for found in yaml.safe_load_all(
            answers["an ingress whose pods are known"]["rendered"]["entrepot/templates/configuration.yaml"]
        )
        if found and found["kind"] == "ConfigMap"
    )
    (tmp_path / "config.yml").write_text(config, encoding="utf-8")
    loaded = load(tmp_path / "config.yml", {}).config
    assert [str(network) for network in loaded.client_proxies] == ["10.42.7.0/24"]


def variables_of(pod: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, str]]:
    """Give the variables that a container sees; where a secret is named, some value."""
    for variable in pod["spec"]["containers"][0]["env"]:
        value = variable.get("value", "drawbridge")
        yield variable["name"], value.replace("/run/secrets/entrepot", str(folder))


def test_a_cluster_has_pods_for_requests_and_pods_for_jobs(answers: dict[str, Any]) -> None:
    """With an external database they are two Deployments of two roles; without, one pod does both, and is replaced."""
    roles = {name: sorted(roles_of(answers[name])) for name in ("nothing", "a cluster")}
    assert roles == {"nothing": ["all"], "a cluster": ["jobs", "web"]}
    one, many = (answers[name]["rendered"]["entrepot/templates/deployments.yaml"] for name in roles)
    assert "type: Recreate" in one
    assert "type: RollingUpdate" in many
    budgets = yaml.safe_load_all(answers["a cluster"]["rendered"]["entrepot/templates/scaling.yaml"])
    assert len([found for found in budgets if found]) == 2
    assert not answers["nothing"]["rendered"]["entrepot/templates/scaling.yaml"].strip()


def roles_of(answer: Mapping[str, Any]) -> Iterator[str]:
    """Give the role of each Deployment."""
    for found in yaml.safe_load_all(answer["rendered"]["entrepot/templates/deployments.yaml"]):
        for variable in found["spec"]["template"]["spec"]["containers"][0]["env"]:
            if variable["name"] == "REGISTRY_NODE_ROLE":
                yield variable["value"]


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_refused_with_the_way_out(name: str, answers: dict[str, Any]) -> None:
    """Helm stops before anything is installed, and says what to set."""
    assert REFUSED[name][1] in answers[name]["refused"]


def test_pods_are_replaced_when_configuration_or_secrets_change(answers: dict[str, Any]) -> None:
    """Another configuration, or another secret given as a value, makes another pod."""
    sums = [
        yaml.safe_load(answers[name]["rendered"]["entrepot/templates/deployments.yaml"].partition("\n---")[0])["spec"][
            "template"
        ]["metadata"]["annotations"]
        for name in ("nothing", "passwords as values", "own claim, node port, no TLS")
    ]
    assert sums[0]["checksum/secrets"] != sums[1]["checksum/secrets"]
    assert sums[0]["checksum/config"] == sums[1]["checksum/config"] != sums[2]["checksum/config"]
