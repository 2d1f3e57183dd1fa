"""The built-in forecasters pass the kit, through the same line as anyone's."""

from __future__ import annotations

from gapcast.engine.neighbours import Neighbours
from gapcast.engine.testing import forecaster
from gapcast.plugins.forecasters.auto.forecaster import Auto
from gapcast.plugins.forecasters.blend.forecaster import Blend
from gapcast.plugins.forecasters.diurnal.forecaster import Diurnal
from gapcast.plugins.forecasters.ema.forecaster import Ema
from gapcast.plugins.forecasters.network_rls.forecaster import NetworkRls
from gapcast.plugins.forecasters.persistence import Persistence
from gapcast.plugins.forecasters.seasonal import Seasonal

TestPersistence = forecaster(Persistence)
TestSeasonal = forecaster(Seasonal)
TestSeasonalDecay = forecaster(Seasonal, Seasonal.Params(periods=3, decay=0.3))
TestEma = forecaster(Ema)
TestEmaNearest = forecaster(Ema, Ema.Params(alpha=0.5, neighbours=Neighbours(nearest=3)))
TestNetworkRls = forecaster(NetworkRls)
TestNetworkRlsInBlocks = forecaster(NetworkRls, NetworkRls.Params(block=4))
TestDiurnal = forecaster(Diurnal, horizons=(0, 1, 3, 48, 200))
TestBlend = forecaster(Blend)
TestAuto = forecaster(Auto, horizons=(0, 1, 3, 48, 400))
