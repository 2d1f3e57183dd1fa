"""From frames to forecasts: models stepped, withheld truths, horizons, intervals, scores."""
