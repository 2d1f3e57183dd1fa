"""What holds of every least squares on neighbours, whatever the recursion."""

import numpy as np
import pytest
from waves import stepped, waves, withhold

from gapcast.engine.forecaster import Model, Series
from gapcast.engine.network.layouts import lay_out
from gapcast.engine.network.series import Network
from gapcast.plugins.forecasters.network_rls.forecaster import NetworkRls
from gapcast.plugins.forecasters.spatial_rls.forecaster import SpatialRls

HALF_HOUR = 1_800_000_000


@pytest.fixture(params=[NetworkRls, SpatialRls], ids=lambda cls: cls.__name__)
def forecast(request):
    """Mean, lower and upper (3, T, N) of the forecaster by all its defaults."""

    def run(values, own=None):
        model = request.param(request.param.Params())
        network = Network.of(Series(str(i), "t") for i in range(values.shape[1]))
        layout = lay_out(network, network.series, Model("m", model), HALF_HOUR)
        return stepped(model, layout, values, own)

    return run


@pytest.mark.parametrize("absurd", [1e300, -1e200, np.inf])
def test_absurd_values_count_as_missing(forecast, absurd):
    values = waves(N=6)
    values[80, 2] = absurd
    blank = values.copy()
    blank[80, 2] = np.nan
    assert forecast(values).tobytes() == forecast(blank).tobytes()


@pytest.mark.parametrize("scale", [1e-9, 1e6])
def test_units_do_not_matter(forecast, scale):
    values = waves(N=7, missing=0.1)
    one, other = forecast(values)[0], forecast(values * scale)[0] / scale
    np.testing.assert_allclose(one, other, rtol=1e-6)


def test_intervals_widen_into_a_gap_and_hold_their_share(forecast):
    values = waves(N=12, T=600, seed=5)
    _, lower, upper = forecast(values, withhold(values, 500))
    half = (upper - lower).mean(1)
    assert half[500] < half[510]
    _, low, high = forecast(values)
    covered = ((low <= values) & (values <= high))[100:].mean()
    assert 0.85 < covered < 0.99
