"""The version of gapcast, in the one place that both the build and the code read."""

VERSION = "0.1.0"
