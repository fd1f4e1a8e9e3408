"""deploy/: the compose files by the rules of the Compose specification that we use, and the config beside them.

No engine is asked. What that leaves open is said in deploy/README.md.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import Source
from tests.packaging.clean import ROOT
from tests.packaging.dockerfile import only, stages

DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
SECRETS = {"SMALLFIRST_KEY": "a", "SMALLFIRST_ADMIN_KEY": "b", "LARGE_API_KEY": "c"}
KEYS = {
    "build",
    "cap_drop",
    "command",
    "depends_on",
    "entrypoint",
    "environment",
    "healthcheck",
    "image",
    "ports",
    "read_only",
    "restart",
    "secrets",
    "security_opt",
    "stop_grace_period",
    "volumes",
}
IMAGE = stages(ROOT / "Dockerfile")[-1]


def mounts(service: dict[str, Any]) -> list[list[str]]:
    return [volume.split(":") for volume in service.get("volumes", [])]


def test_known_keys_only() -> None:
    """Compose refuses others."""
    assert COMPOSE.keys() == {"name", "services", "secrets", "volumes"}
    assert {key for service in SERVICES.values() for key in service} <= KEYS
    assert SERVICES.keys() == {"gateway", "ollama", "model", "prometheus", "grafana"}


def test_what_is_waited_for_can_happen() -> None:
    """A service that others want healthy has a health check; one that has to complete is not restarted."""
    for service in SERVICES.values():
        for name, wanted in service.get("depends_on", {}).items():
            if wanted["condition"] == "service_healthy":
                assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
            else:
                assert wanted["condition"] == "service_completed_successfully"
                assert SERVICES[name]["restart"] == "no"


def test_what_is_mounted_is_there() -> None:
    """Files of ours read-only; everything else a volume that is declared, and each of those is used."""
    used = set()
    for name, service in SERVICES.items():
        for source, _, *mode in mounts(service):
            if source.startswith("."):
                assert (DEPLOY / source).exists(), f"{name}: {source}"
                assert mode == ["ro"], f"{name}: {source}"
            else:
                used.add(source)
    assert used == COMPOSE["volumes"].keys()


def test_nothing_is_published_beyond_loopback() -> None:
    """And the models' server not at all."""
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports.keys() == {"gateway", "prometheus", "grafana"}
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for given in ports.values() for port in given)


def test_no_secret_has_a_default() -> None:
    """Those that are needed stop everything when they are missing; none is written here."""
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if re.search(r"KEY|PASSWORD|TOKEN", name):
                assert re.fullmatch(r"\$\{\w+:\?.+\}|\$\{LARGE_API_KEY:-\}", value), name


def test_images_are_pinned() -> None:
    """To one version; the helper that pulls the model is of the same."""
    for service in SERVICES.values():
        assert re.fullmatch(r"[\w/]+:v?\d+\.\d+\.\d+", service["image"])
    assert SERVICES["model"]["image"] == SERVICES["ollama"]["image"]


def test_the_gateway_is_shut_in() -> None:
    """Nothing but its volume can be written to, and that is the one of the image."""
    gateway = SERVICES["gateway"]
    assert (gateway["read_only"], gateway["cap_drop"]) == (True, ["ALL"])
    assert [target for _, target, *mode in mounts(gateway) if not mode] == [only(IMAGE, "VOLUME").rest]
    assert all("no-new-privileges:true" in service["security_opt"] for service in SERVICES.values())


def test_a_secret_is_not_in_a_read_only_container() -> None:
    """Compose copies a secret from the environment into the container, which such a one refuses."""
    assert all(not service.get("read_only") for service in SERVICES.values() if "secrets" in service)
    assert COMPOSE["secrets"]["admin_key"] == {"environment": "SMALLFIRST_ADMIN_KEY"}


def test_it_may_drain() -> None:
    """Docker kills no earlier than the gateway is done."""
    server = Source(DEPLOY / "gateway.yaml", SECRETS).load().config.server
    grace = int(SERVICES["gateway"]["stop_grace_period"].removesuffix("s"))
    assert grace > server.drain_delay + server.drain_timeout


def test_the_config_loads() -> None:
    """Without a word, once the secrets are there: also none about a variable that the gateway does not know."""
    environ = SECRETS | {name: "llama3.2:3b" for name in SERVICES["gateway"]["environment"] if "__" in name}
    loaded = Source(DEPLOY / "gateway.yaml", environ).load()
    assert loaded.warnings == ()
    assert loaded.config.backends["ollama"].model == "llama3.2:3b"
    assert {name for _, name in loaded.config.secret_names()} <= SERVICES["gateway"]["environment"].keys()


def test_the_config_fits_compose() -> None:
    """Addresses, slots, the model and the path of the records are those of the other services."""
    config = Source(DEPLOY / "gateway.yaml", {}).load().config
    ollama, environment = config.backends["ollama"], SERVICES["ollama"]["environment"]
    assert (ollama.base_url, ollama.zone) == ("http://ollama:11434", "local")
    assert str(ollama.capacity.concurrent) == environment["OLLAMA_NUM_PARALLEL"]
    assert SERVICES["model"]["environment"]["MODEL"] == f"${{MODEL:-{ollama.model}}}"
    assert SERVICES["gateway"]["environment"]["SMALLFIRST_BACKENDS__OLLAMA__MODEL"] == f"${{MODEL:-{ollama.model}}}"
    assert config.records
    assert Path(config.records.path).parent == Path(only(IMAGE, "VOLUME").rest)
    assert SERVICES["gateway"]["ports"] == [f"127.0.0.1:8080:{config.server.port}"]


def test_without_its_key_the_large_model_is_down() -> None:
    """So that a first start costs nothing; compose hands on an empty variable, which is none."""
    loaded = Source(DEPLOY / "gateway.yaml", SECRETS | {"LARGE_API_KEY": ""}).load()
    (warning,) = loaded.warnings
    assert "LARGE_API_KEY is not set; this backend starts down" in warning


def test_prometheus_reads_the_gateway() -> None:
    """With the admin key from the file that compose puts there."""
    scraped = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text("utf-8"))
    jobs = [job for job in scraped["scrape_configs"] if "gateway:8080" in str(job)]
    assert jobs
    assert all(job["authorization"]["credentials_file"] == "/run/secrets/admin_key" for job in jobs)


def test_grafana_finds_source_and_board() -> None:
    """At the name of the service and at the folder where compose mounts it."""
    sources, providers = (
        "\n".join(path.read_text("utf-8") for path in sorted((DEPLOY / "grafana/provisioning" / kind).glob("*.y*ml")))
        for kind in ("datasources", "dashboards")
    )
    assert "http://prometheus:9090" in sources
    boards = next(target for source, target, *_ in mounts(SERVICES["grafana"]) if source.endswith("/dashboards"))
    assert {provider["options"]["path"] for provider in yaml.safe_load(providers)["providers"]} == {boards}


def test_an_overlay_changes_only_what_is_there() -> None:
    """compose.gpu.yaml names a service of compose.yaml."""
    overlay = yaml.safe_load((DEPLOY / "compose.gpu.yaml").read_text("utf-8"))
    assert overlay["services"].keys() <= SERVICES.keys()


@pytest.mark.parametrize(
    "name", ["SMALLFIRST_KEY", "SMALLFIRST_ADMIN_KEY", "GRAFANA_PASSWORD", "LARGE_API_KEY", "MODEL"]
)
def test_the_page_names_every_variable(name: str) -> None:
    """What can stand in .env is in the table, and nothing else is asked for."""
    asked = set(re.findall(r"(?<!\$)\$\{(\w+)", (DEPLOY / "compose.yaml").read_text("utf-8")))
    listed = set(re.findall(r"^\| `([A-Z_]+)` \|", (DEPLOY / "README.md").read_text("utf-8"), re.MULTILINE))
    assert name in asked == listed
