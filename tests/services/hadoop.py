"""What HDFS and HBase have in common: the form of their settings, logging, what Java must open."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import escape

_OPENED = """
java.io java.lang java.lang.reflect java.math java.net java.nio java.text java.util
java.util.concurrent java.util.zip jdk.internal.ref sun.nio.ch sun.security.util sun.security.x509
"""
_EXPORTED = """
java.base/jdk.internal.misc java.base/sun.net.dns java.base/sun.net.util
java.security.jgss/sun.security.krb5
"""
OPTIONS = [
    "--add-modules=jdk.unsupported",
    *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED.split()),
    *(f"--add-exports={package}=ALL-UNNAMED" for package in _EXPORTED.split()),
]
"""Parts of the JDK that Hadoop and HBase reach into."""
LOGGING = """\
log4j.rootLogger=INFO,out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d{ISO8601} %-5p %c{1}: %m%n
log4j.logger.http.requests=WARN
"""


def lay_out(folder: Path, **sites: Mapping[str, object]) -> None:
    """Makes a settings folder: ``hdfs={...}`` becomes its ``hdfs-site.xml``; logs go to stdout."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "log4j.properties").write_text(LOGGING)
    for site, settings in sites.items():
        (folder / f"{site}-site.xml").write_text(_xml(settings))


def _xml(settings: Mapping[str, object]) -> str:
    properties = "".join(
        f"  <property><name>{name}</name><value>{escape(str(value))}</value></property>\n"
        for name, value in settings.items()
    )
    return f'<?xml version="1.0"?>\n<configuration>\n{properties}</configuration>\n'
