"""What can be said of docker/ without an engine: schema, house rules, and that its settings are
those of the services that tests run as plain processes."""

from __future__ import annotations

import json
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml
from jsonschema.validators import validator_for
from services import hadoop, opentsdb
from services.hbase import Hbase
from services.hdfs import Hdfs
from services.opentsdb import OpenTsdb

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
FILES = sorted(DOCKER.glob("*/compose.yaml"))
SERVICES = [
    pytest.param(file, name, service, id=name)
    for file in FILES
    for name, service in yaml.safe_load(file.read_text())["services"].items()
]
DOCKERFILES = sorted(DOCKER.glob("*/Dockerfile"))
ONCE = {"opentsdb-tables", "gapcast"}
"""Services that do something and end."""

services = pytest.mark.parametrize(("file", "name", "service"), SERVICES)


@pytest.mark.parametrize("file", [DOCKER / "compose.yaml", *FILES], ids=lambda f: f.parent.name)
def test_compose_files_keep_to_the_specification(file):
    schema = json.loads((ROOT / "tests/compose-spec/compose-spec.json").read_text())
    validator = validator_for(schema)(schema)
    made = yaml.safe_load(file.read_text())
    assert [f"{e.json_path}: {e.message}" for e in validator.iter_errors(made)] == []
    assert made["name"] == "gapcast"


def test_the_schema_rejects_what_is_wrong():
    schema = json.loads((ROOT / "tests/compose-spec/compose-spec.json").read_text())
    wrong = {"services": {"a": {"imag": "x"}}}
    assert list(validator_for(schema)(schema).iter_errors(wrong))


def test_one_file_includes_all_others():
    included = yaml.safe_load((DOCKER / "compose.yaml").read_text())["include"]
    assert sorted(included) == [str(f.relative_to(DOCKER)) for f in FILES]
    assert [f.parent.name for f in FILES] == [
        "dask", "gapcast", "hdfs", "kafka", "serve", "spark"
    ]  # fmt: skip
    names = [p.values[1] for p in SERVICES]
    assert len(set(names)) == len(names)


@services
def test_ports_are_published_on_loopback_only(file, name, service):
    for port in service.get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)


def test_no_port_is_published_twice():
    ports = [p for s in SERVICES for p in s.values[2].get("ports", [])]
    assert len(set(ports)) == len(ports)


@services
def test_services_are_limited_and_watched(file, name, service):
    limits = service["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory"}
    if name not in ONCE:
        assert service["healthcheck"]["test"]
        assert service["restart"] == "unless-stopped"
    for other, how in service.get("depends_on", {}).items():
        wanted = "service_completed_successfully" if other in ONCE else "service_healthy"
        assert how == {"condition": wanted}


def test_there_are_two_workers_of_four_cores_and_four_gib():
    for cluster in ("spark", "dask"):
        found = yaml.safe_load((DOCKER / cluster / "compose.yaml").read_text())["services"]
        limits = [s["deploy"]["resources"]["limits"] for n, s in found.items() if "worker" in n]
        assert limits == [{"cpus": "4", "memory": "4g"}] * 2


@services
def test_no_password_is_written_down_or_has_a_default(file, name, service):
    secret = {
        k: v
        for k, v in service.get("environment", {}).items()
        if re.search(r"(?i)password|secret|token", k)
    }
    for value in secret.values():
        assert re.fullmatch(r"\$\{[A-Z_]+:\?.+\}", value)
    assert bool(secret) == (name == "grafana")


@services
def test_images_are_pinned(file, name, service):
    assert re.fullmatch(r"[a-z/-]+:v?\d+\.\d+(\.\d+)?", service["image"])
    if service["image"].startswith("gapcast/"):
        context = (file.parent / service["build"]["context"]).resolve()
        assert context == ROOT
        assert (context / service["build"]["dockerfile"]).is_file()


@services
def test_volumes_are_declared_and_mounted_files_exist(file, name, service):
    declared = yaml.safe_load(file.read_text()).get("volumes", {})
    for volume in service.get("volumes", []):
        source = volume.partition(":")[0]
        if source.startswith("."):
            assert (file.parent / source).exists()
            assert volume.endswith(":ro")
        else:
            assert source in declared


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda f: f.parent.name)
def test_images_are_built_in_stages_and_run_as_nobody_special(file):
    text = file.read_text()
    stages = re.findall(r"^FROM (\S+)", text, re.M)
    assert len(stages) == 2
    assert all(":" in s and "latest" not in s for s in stages)
    last = text[text.rindex("\nFROM ") :]
    (user,) = re.findall(r"^USER (\S+)", last, re.M)
    assert user != "root"
    assert f"--uid 10001 {user}" in last
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.M):
        *sources, _ = [w for w in line.split() if not w.startswith("--")]
        for source in sources:
            each = [source.replace("${SERVICE}", s) for s in ("hdfs", "hbase", "opentsdb")]
            assert all((ROOT / one).exists() for one in each)
            assert any(
                f"!{p}" in ignored for one in each for p in [one, *map(str, Path(one).parents)]
            )


def same(docker, tested, differs):
    """Assert that what docker/ sets is what tests run with, but for places, and say what is new."""
    common = docker.keys() & tested.keys()
    unequal = {k for k in common if docker[k] != str(tested[k])}
    assert unequal <= differs
    return docker.keys() - tested.keys()


def site(path):
    return {p.findtext("name"): p.findtext("value") for p in ET.parse(path).iter("property")}


def test_settings_are_those_that_tests_run_with(tmp_path):
    hbase = Hbase(tmp_path / "hbase")
    tsdb = OpenTsdb(tmp_path / "tsdb", hbase)
    hdfs = Hdfs(tmp_path / "hdfs")
    lines = (DOCKER / "serve/opentsdb/opentsdb.conf").read_text().splitlines()
    conf = dict(line.split(" = ") for line in lines if not line.startswith("#"))
    places = {
        "tsd.network.bind", "tsd.network.port", "tsd.http.staticroot", "tsd.http.cachedir",
        "tsd.storage.hbase.zk_quorum",
    }  # fmt: skip
    assert same(conf, tsdb.settings(), places) <= {"hbase.rpcs.buffered_flush_interval"}
    places = {
        k
        for k in hbase.settings()
        if re.search(r"dir$|port$|Port|quorum$|hostname|address|data", k)
    }
    assert same(site(DOCKER / "serve/hbase/hbase-site.xml"), hbase.settings(), places) == set()
    core = site(DOCKER / "hdfs/conf/core-site.xml")
    assert same(core, hdfs.core(), {"fs.defaultFS", "hadoop.tmp.dir"}) == set()
    both = hdfs.name_node() | hdfs.data_node(1, tmp_path)
    places = {"dfs.namenode.name.dir", "dfs.datanode.data.dir", "dfs.namenode.http-address"}
    assert same(site(DOCKER / "hdfs/conf/hdfs-site.xml"), both, places) == {
        "dfs.namenode.rpc-bind-host", "dfs.client.use.datanode.hostname"
    }  # fmt: skip


def test_java_is_started_as_in_tests():
    options = (DOCKER / "jvm/java-options").read_text().split()
    assert set(hadoop.OPTIONS) <= set(options)
    assert (DOCKER / "jvm/log4j.properties").read_text() == hadoop.LOGGING
    assert (DOCKER / "jvm/logback.xml").read_text() == opentsdb.LOGGING


GRAFANA = DOCKER / "serve/grafana"
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))


def test_dashboards_are_as_made(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(GRAFANA), *sys.path])
    import live
    import make

    for made in (make.forecasts(), make.run(), live.live()):
        path = GRAFANA / "dashboards" / f"{made['uid']}.json"
        assert json.loads(path.read_text()) == made, "run make.py and live.py beside it"
        assert path in DASHBOARDS


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda p: p.stem)
def test_dashboards_fit_together(path):
    sources = [
        {name: source[name] for name in ("type", "uid")}
        for file in (GRAFANA / "provisioning/datasources").glob("*.yaml")
        for source in yaml.safe_load(file.read_text())["datasources"]
    ]
    board = json.loads(path.read_text())
    assert board["uid"] == path.stem
    ids = [p["id"] for p in board["panels"]]
    assert len(set(ids)) == len(ids)
    taken = set()
    for panel in board["panels"]:
        assert panel["datasource"] in sources
        assert all(t["datasource"] == panel["datasource"] for t in panel["targets"])
        assert [t["refId"] for t in panel["targets"]] == list("ABCDEFGH"[: len(panel["targets"])])
        at = panel["gridPos"]
        cells = {(at["x"] + i, at["y"] + j) for i in range(at["w"]) for j in range(at["h"])}
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
    known = {v["name"] for v in board["templating"]["list"]}
    used = set(re.findall(r"\$(?!tag_|__)(\w+)", json.dumps(board["panels"])))
    assert used <= known
