"""Reports and pictures of runs: what they say is what the run found, and they load nothing."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import pytest
from doubles import SCRIPTS

from gapcast import read_config, run
from gapcast.engine.cli.run import run as run_command
from gapcast.engine.errors import RunError
from gapcast.engine.report import report
from gapcast.engine.report.plot import plot
from gapcast.engine.shard.scoring import GAP_SCORES, SCORES
from gapcast.engine.sink import STATUSES

SECRET = "s3cr3t-scr1pt"
DARK = {"from": "2004-03-03T00:00:00Z", "to": "2004-03-04T00:00:00Z"}
ODD = "</script><b>&amp;"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def readings(sensors):
    """Three days of a daily wave every half-hour; one reading a sensor is lost, one impossible."""
    return [
        (30.0 * i, s, "temperature", 99.0 if i == 50 else 20 + n + 3 * np.sin(2 * np.pi * i / 48))
        for i in range(144)
        for n, s in enumerate(sensors)
        if i != 60 + n
    ]


def play(folder, sensors=("1", "2", "10", ODD), **more):
    """A run of the wave with the last day withheld for each sensor in turn."""
    SCRIPTS[SECRET] = {"a": readings(sensors)}
    config = {
        "name": "waves",
        "source": {"type": "doubles:Played", "script": "${GAPCAST_SCRIPT}"},
        "grid": {"interval": "30min"},
        "limits": {"temperature": {"max": 60}},
        "targets": {"sensors": "all", "quantities": ["temperature"]},
        "evaluation": {"mode": "blackout", "hide": "each", "spans": [DARK]},
        "models": {
            "last": {"type": "persistence"},
            "day": {"type": "seasonal", "period": "1d", "horizons": [0, 2]},
        },
        "sinks": {"files": {"type": "files"}},
        **more,
    }
    try:
        return run(read_config(config), folder)
    finally:
        SCRIPTS.clear()


def numbers(text):
    return np.frombuffer(base64.b64decode(text), "<f4")


def content(path):
    text = path.read_text()
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    return text, json.loads(found[1])


@pytest.fixture(scope="module")
def waves(tmp_path_factory):
    folder = tmp_path_factory.mktemp("waves") / "one"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAPCAST_SCRIPT", SECRET)
        play(folder)
    (folder.parent / "places").write_text("1 0 0\n2 1 0\n10 3 4\n")
    report([folder], positions=folder.parent / "places")
    return folder


def test_the_scores_are_the_run_s(waves):
    _, data = content(waves / "report.html")
    (section,) = data["sections"]
    assert [s for s in section["sensors"] if s != ODD] == ["1", "2", "10"]
    scores = pcsv.read_csv(waves / "scores.csv").to_pylist()
    assert len(section["entries"]) == 3
    for e, entry in enumerate(section["entries"]):
        own = [
            s for s in scores if (s["model"], s["horizon"]) == (entry["model"], entry["horizon"])
        ]
        by_sensor = {str(s["sensor"]): s for s in own}
        assert entry["n"] == sum(s["n"] for s in own)
        for name in ("mse", "mae", "bias", "coverage", "rmse", "crps"):
            assert entry[name] == pytest.approx(np.mean([s[name] for s in own]), rel=1e-12)
            listed = [by_sensor[s][name] for s in section["sensors"]]
            np.testing.assert_allclose(numbers(section["errors"][name][e]), listed, rtol=1e-6)


def test_errors_by_gap_age_and_by_hour_are_the_run_s(waves):
    _, data = content(waves / "report.html")
    (section,) = data["sections"]
    gaps = pcsv.read_csv(waves / "scores_by_gap.csv").to_pylist()
    forecasts = pq.read_table(waves / "forecasts", partitioning=None).to_pylist()
    for e, entry in enumerate(section["entries"]):
        key = (entry["model"], entry["horizon"])
        for g, gap in enumerate(data["gapAges"]):
            own = [r for r in gaps if (r["model"], r["horizon"], r["gap"]) == (*key, gap)]
            if not own:
                assert section["gaps"]["mse"][e][g] is None
                continue
            n = sum(r["n"] for r in own)
            mse = sum(r["n"] * r["mse"] for r in own) / n
            assert section["gaps"]["n"][e][g] == n
            assert section["gaps"]["mse"][e][g] == pytest.approx(mse, rel=1e-12)
        for hour, shown in enumerate(section["hours"][e]):
            errors = [
                (r["forecast"] - r["truth"]) ** 2
                for r in forecasts
                if (r["model"], r["horizon"], r["status"]) == (*key, "withheld")
                and r["time"].hour == hour
                and r["truth"] is not None
            ]
            assert shown == pytest.approx(np.mean(errors), rel=1e-9)


def test_what_is_drawn_is_what_was_forecast(waves):
    _, data = content(waves / "report.html")
    (section,) = data["sections"]
    (drawing,) = section["drawings"]
    at = section["sensors"].index("2")
    d = section["drawn"].index(at)
    rows = [
        r
        for r in pq.read_table(waves / "forecasts", partitioning=None).to_pylist()
        if (r["sensor"], r["model"]) == ("2", "last")
    ]
    e = next(i for i, entry in enumerate(section["entries"]) if entry["model"] == "last")
    forecast, lower, upper = (numbers(x) for x in drawing["entries"][str(e)][d])
    steps = [round((r["time"].timestamp() - drawing["start"]) / drawing["step"]) for r in rows]
    for name, drawn in (("forecast", forecast), ("lower", lower), ("upper", upper)):
        told = np.array([np.nan if r[name] is None else r[name] for r in rows])
        np.testing.assert_allclose(drawn[steps], told, rtol=1e-6)
    assert [drawing["status"][d][i] for i in steps] == [
        str(STATUSES.index(r["status"])) for r in rows
    ]
    assert drawing["status"][d].count(str(STATUSES.index("rejected"))) == 1
    assert drawing["status"][d].count(str(STATUSES.index("withheld"))) == 48


def test_the_counts_add_up(waves):
    _, data = content(waves / "report.html")
    (told,) = data["runs"]
    counts = dict(told["counts"])
    assert counts.pop("read") == sum(counts.values()) == 4 * 143
    assert counts["rejected"] == 4
    assert told["forecasts"] == sum(told["statuses"].values())
    assert told["versions"]["gapcast"]


def test_positions_are_a_map_of_the_sensors_that_have_one(waves):
    _, data = content(waves / "report.html")
    (section,) = data["sections"]
    x, y = (numbers(axis) for axis in section["positions"])
    assert (x[section["sensors"].index("10")], y[section["sensors"].index("10")]) == (3, 4)
    assert np.isnan(x[section["sensors"].index(ODD)])


def test_the_page_loads_nothing_and_keeps_secrets(waves):
    text, _ = content(waves / "report.html")
    assert "default-src 'none'" in text
    loads = r"\b(src|href)\s*=|url\(|@import|fetch\(|XMLHttpRequest|WebSocket|\bimport\("
    assert re.findall(loads, text) == []
    assert text.count("</script>") == 3  # a sensor's name ends none
    assert SECRET not in text
    assert "${GAPCAST_SCRIPT}" in text
    assert str(waves.parent) not in text


def test_several_runs_are_compared_sensor_by_sensor(waves, tmp_path, monkeypatch):
    monkeypatch.setenv("GAPCAST_SCRIPT", SECRET)
    play(tmp_path / "two", ("2", "3"), models={"last": {"type": "persistence"}})
    out = report([waves, tmp_path / "two"], tmp_path / "both.html")
    _, data = content(out)
    (section,) = data["sections"]
    assert set(section["sensors"]) == {"1", "2", "3", "10", ODD}
    assert [e["label"] for e in section["entries"]] == [
        "last · one", "day +0 · one", "day +2 · one", "last · two",
    ]  # fmt: skip
    mse = numbers(section["errors"]["mse"][3])
    known = {s for s, v in zip(section["sensors"], mse, strict=True) if not np.isnan(v)}
    assert known == {"2", "3"}
    assert [d["run"] for d in section["drawings"]] == [0, 1]


def test_ten_thousand_sensors_are_listed_and_a_few_drawn(waves, tmp_path):
    N = 10_000
    sensor = pa.array([f"m{i}" for i in range(N)])
    errors = {
        "n": np.full(N, 48), "bias": np.zeros(N), "coverage": np.full(N, 0.9), "crps": np.ones(N),
    }  # fmt: skip
    mse = np.random.default_rng(1).gamma(2, 1, N)
    start, end = 0, 3 * 86_400_000_000
    for name, schema in (("scores", SCORES), ("scores_by_gap", GAP_SCORES)):
        tables = []
        for model in ("last", "day"):
            columns = {
                "start": np.full(N, start), "end": np.full(N, end), "sensor": sensor,
                "quantity": ["temperature"] * N, "model": [model] * N, "horizon": np.zeros(N, int),
                "gap": ["< 1 d"] * N, "mse": mse, "mae": np.sqrt(mse), "rmse": np.sqrt(mse),
                **errors,
            }  # fmt: skip
            tables.append(
                pa.table([pa.array(columns[f.name]).cast(f.type) for f in schema], schema=schema)
            )
        pcsv.write_csv(pa.concat_tables(tables), tmp_path / f"{name}.csv")
    shutil.copy(waves / "manifest.json", tmp_path)
    shutil.copytree(waves / "forecasts", tmp_path / "forecasts")
    text, data = content(report([tmp_path]))
    (section,) = data["sections"]
    assert len(section["sensors"]) == len(numbers(section["errors"]["mse"][0])) == N
    assert len(section["drawn"]) == 50
    drawn = numbers(section["errors"]["mse"][0])[section["drawn"]]
    assert drawn.max() == np.float32(mse.max())
    assert drawn.min() == np.float32(mse.min())
    assert len(text) < 5_000_000


def without(columns, path, schema, to):
    types = pcsv.ConvertOptions(column_types=schema)
    pcsv.write_csv(pcsv.read_csv(path, convert_options=types).drop_columns(columns), to)


def test_a_run_from_before_a_score_was_known_has_a_report(waves, tmp_path):
    shutil.copy(waves / "manifest.json", tmp_path)
    for name, schema in (("scores", SCORES), ("scores_by_gap", GAP_SCORES)):
        without(["rmse", "crps"], waves / f"{name}.csv", schema, tmp_path / f"{name}.csv")
    (section,) = content(report([tmp_path]))[1]["sections"]
    (known,) = content(waves / "report.html")[1]["sections"]
    for old, new in zip(section["entries"], known["entries"], strict=True):
        assert (old["mse"], old["coverage"]) == (new["mse"], new["coverage"])
        assert (old["rmse"], old["crps"]) == (None, None)


def test_scores_without_a_column_of_the_key_are_none(waves, tmp_path):
    shutil.copytree(waves, tmp_path / "run")
    without(["model"], waves / "scores.csv", SCORES, tmp_path / "run/scores.csv")
    with pytest.raises(RunError, match=r"cannot be read as the folder of a run.*model"):
        report([tmp_path / "run"])


def test_a_run_without_forecasts_in_files_has_a_report(tmp_path, monkeypatch):
    monkeypatch.setenv("GAPCAST_SCRIPT", SECRET)
    play(tmp_path / "r", sinks={"kept": {"type": "doubles:Keeps"}})
    _, data = content(report([tmp_path / "r"]))
    assert data["runs"][0]["statuses"] is None
    assert data["sections"][0]["drawings"] == [None]


def test_a_folder_without_a_run_is_rejected(tmp_path):
    with pytest.raises(RunError, match=r"holds no manifest\.json: expected the folder of a run"):
        report([tmp_path])


@pytest.mark.parametrize("broken", [False, True])
def test_the_command_run_leaves_a_report_and_never_fails_by_it(
    tmp_path, monkeypatch, capsys, broken
):
    monkeypatch.setenv("GAPCAST_SCRIPT", SECRET)
    SCRIPTS[SECRET] = {"a": readings(("1", "2"))}
    (tmp_path / "c.yaml").write_text(
        "name: x\nsource: {type: 'doubles:Played', script: '${GAPCAST_SCRIPT}'}\n"
        "grid: {interval: 30min}\ntargets: {quantities: [temperature]}\n"
        "models: {last: {type: persistence}}\nsinks: {files: {type: files}}\n"
    )
    if broken:
        (tmp_path / "r/report.html").mkdir(parents=True)
    try:
        run_command(tmp_path / "c.yaml", None, tmp_path / "r", False, None)
    finally:
        SCRIPTS.clear()
    assert (tmp_path / "r/scores.csv").exists()
    assert (tmp_path / "r/report.html").is_file() != broken
    assert ("no report.html (RunError" in capsys.readouterr().err) == broken


def test_a_picture_has_the_error_in_its_title_and_the_same_bytes_each_time(waves, tmp_path):
    pytest.importorskip("matplotlib", reason="comes with gapcast[plot]")
    for name in ("a.svg", "b.svg", "c.png"):
        plot(waves, "2", tmp_path / name, models=["last"])
    text = (tmp_path / "a.svg").read_text()
    scores = pcsv.read_csv(waves / "scores.csv").to_pylist()
    (mse,) = (s["mse"] for s in scores if (str(s["sensor"]), s["model"]) == ("2", "last"))
    assert f"Sensor 2, temperature: MSE {mse:.4f} (last" in text
    assert text == (tmp_path / "b.svg").read_text()
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ({"sensor": "11"}, r"no sensor '11' has scores of temperature"),
        ({"quantity": "temprature"}, r"no quantity 'temprature'; did you mean 'temperature'"),
        ({"models": ["lst"]}, r"no model 'lst'; did you mean 'last'"),
        ({"out": "x.gif"}, r"expected a name that ends in .png or .svg"),
    ],
)
def test_a_picture_of_what_is_not_there_is_rejected(waves, tmp_path, asked, answer):
    out = tmp_path / asked.pop("out", "x.svg")
    with pytest.raises(RunError, match=answer):
        plot(waves, asked.pop("sensor", "2"), out, **asked)


@pytest.fixture
def unscored(waves, tmp_path):
    """The folder of a run that ended before anything could be scored."""
    shutil.copy(waves / "manifest.json", tmp_path)
    for name, schema in (("scores", SCORES), ("scores_by_gap", GAP_SCORES)):
        pcsv.write_csv(schema.empty_table(), tmp_path / f"{name}.csv")
    return tmp_path


def test_a_run_that_scored_nothing_has_a_report(unscored):
    _, data = content(report([unscored]))
    assert data["sections"] == []
    assert data["runs"][0]["counts"]["read"] == 4 * 143


@pytest.fixture
def browse(tmp_path):
    """Opens a page in a browser: (its elements as text, what the console said)."""
    if CHROMIUM is None:
        pytest.skip("no chromium here to open the page with")

    def open_page(page, *more):
        done = subprocess.run(
            [
                CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu",
                "--disable-dev-shm-usage", "--enable-logging=stderr", "--window-size=1200,2000",
                f"--user-data-dir={tmp_path / 'profile'}", *(more or ["--dump-dom"]),
                page.as_uri(),
            ],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        return done.stdout, said

    return open_page


def test_a_browser_draws_it_without_a_word(waves, tmp_path, browse):
    page, said = browse(waves / "report.html")
    assert said == []
    assert 'data-drawn="4"' in page
    heads = re.findall(r"<th [^>]*>([^<]*)", re.search(r'id="scores">.*?</table>', page, re.S)[0])
    assert heads == [
        "model", "horizon", "MSE", "MAE", "bias", "RMSE", "CRPS", "coverage", "nominal", "n",
    ]  # fmt: skip
    offered = re.findall(r"<option[^>]*>", re.search(r'id="metric">.*?</select>', page, re.S)[0])
    assert [re.search('value="([^"]*)"', o)[1] for o in offered] == [
        "mse", "mae", "bias", "rmse", "crps", "coverage", "n",
    ]  # fmt: skip
    assert page.count("<canvas") == 4 + 4  # the charts, and a small one of each sensor
    assert len(re.findall(r'<circle data-row="\d', page)) == 3
    assert page.count('class="drawn"') == 4
    image = pytest.importorskip("PIL.Image", reason="comes with gapcast[plot]")
    browse(waves / "report.html", f"--screenshot={tmp_path / 'page.png'}")
    with image.open(tmp_path / "page.png") as shot:
        chart = np.asarray(shot.convert("RGB"))[500:900].reshape(-1, 3)
    # The first model's line and the truth's.
    assert {(0, 114, 178), (20, 24, 29)} <= set(map(tuple, np.unique(chart, axis=0).tolist()))


HANDS = """<script>
const press = at => document.querySelector(at).dispatchEvent(
  new MouseEvent("click", {bubbles: true}));
["go='1'", "zoom='0.5'", "move='-0.5'", "move='0.5'", "zoom='2'", "zoom='0'"]
  .forEach(what => press(`[data-${what}]`));
press("th[data-sort='name']"); press("th[data-sort='1']"); press("th[data-sort='1']");
press("[data-page='1']"); press("#gallery button:last-child"); press("#map circle");
for (const [id, value] of [["metric", "coverage"], ["which", "2"]]) {
  document.getElementById(id).value = value;
  document.getElementById(id).dispatchEvent(new Event("change"));
}
document.getElementById("find").value = "10";
document.getElementById("find").dispatchEvent(new Event("input"));
dispatchEvent(new Event("beforeprint")); dispatchEvent(new Event("afterprint"));
dispatchEvent(new Event("resize"));
document.body.append(Object.assign(document.createElement("p"), {id: "done", textContent: "done"}));
</script></body>"""


def test_a_hand_can_go_everywhere_without_a_word(waves, tmp_path, browse):
    page = tmp_path / "handled.html"
    page.write_text((waves / "report.html").read_text().replace("</body>", HANDS))
    shown, said = browse(page)
    assert said == []
    assert '<p id="done">done</p>' in shown
    title = re.search(r'<h2 id="sensor-title">Sensor ([^ ]+) ', shown)[1]
    _, data = content(waves / "report.html")
    assert title == data["sections"][0]["sensors"][2]
    table = re.search(r'id="sensors">.*?</table>', shown, re.S)[0]
    assert re.findall(r"<tr [^>]*><td>([^<]*)", table) == ["10"]


def test_a_page_with_nothing_scored_opens_without_a_word(unscored, browse):
    shown, said = browse(report([unscored]))
    assert said == []
    assert "Nothing was scored." in shown
