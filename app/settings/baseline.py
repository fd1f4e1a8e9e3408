"""What the bill is compared with: all traffic to the large model. Every assumption has a key; defaults are stated."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from app.core import baseline, prices
from app.settings.backends import Backend
from app.settings.fields import Duration, Model, Name, Positive


class Baseline(Model):
    """`tier` default: the last. `verbosity` is for token prices, the rest for hours."""

    tier: Name | None = None
    verbosity: Annotated[float, Field(gt=0)] = 1.0
    utilisation: Annotated[float, Field(gt=0, le=1)] = 0.7
    service: Positive = 10.0
    concurrency: Annotated[int, Field(gt=0)] | None = None
    min_replicas: Annotated[int, Field(ge=0)] = 1
    max_replicas: Annotated[int, Field(gt=0)] = 1
    scale_up_delay: Duration = 300.0
    stabilisation: Duration = 300.0
    scale_to_zero_after: Positive | None = None

    @model_validator(mode="after")
    def _replicas(self) -> Baseline:
        if self.min_replicas > self.max_replicas:
            raise ValueError("min_replicas is larger than max_replicas")
        if (self.min_replicas == 0) != (self.scale_to_zero_after is not None):
            raise ValueError(
                "write min_replicas: 0 and scale_to_zero_after together: an endpoint sleeps or it does not"
            )
        return self

    def to_core(self, tier: str, backend: Backend) -> baseline.Baseline | None:
        """Of the backend that would have answered everything; None if it has no price."""
        price, name = backend.price.to_core(), f"all-{tier}"
        if isinstance(price, prices.TokenPrice):
            return baseline.TokenBaseline(name, tier, price, self.verbosity)
        if isinstance(price, prices.HourPrice):
            return baseline.HourBaseline(name, tier, self._hours(price.usd_per_hour, backend.capacity.concurrent))
        if isinstance(price, prices.LocalPrice):
            usd = price.energy_per_hour + price.capex_per_hour
            return baseline.HourBaseline(name, tier, baseline.HourParams(usd, backend.capacity.concurrent))
        return None

    def _hours(self, usd_per_hour: float, concurrent: int) -> baseline.HourParams:
        return baseline.HourParams(
            usd_per_hour=usd_per_hour,
            concurrency=self.concurrency or concurrent,
            utilisation=self.utilisation,
            service=self.service,
            min_replicas=self.min_replicas,
            max_replicas=self.max_replicas,
            scale_up_delay=self.scale_up_delay,
            stabilisation=self.stabilisation,
            scale_to_zero_after=self.scale_to_zero_after,
        )
