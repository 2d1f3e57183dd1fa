"""The `auto` forecaster: experts of the network, of the past and of the seasons, weighed by age."""
