"""The driver: the only room that sends anything to a backend.

Zone, admission, deadline and ledger meet here. `Gateway.begin` decides (pure, no await), `Gateway.open`
performs the attempts that the cascade yields, `Delivery` carries the answer and settles it, once.
"""

from app.gateway.delivery import Delivery
from app.gateway.driver import Gateway, Routing
from app.gateway.patience import Patience
from app.gateway.post import Post
from app.gateway.slots import Slots
from app.gateway.story import Story
from app.ports import Give

__all__ = ["Delivery", "Gateway", "Give", "Patience", "Post", "Routing", "Slots", "Story"]
