"""What outlives a reload: the same objects for what did not change, fresh ones for what did."""

from __future__ import annotations

from app.core.types import Facts
from app.main.build import build
from tests.main.parts import ENVIRON, TWO_TIERS, config_of, keep


async def test_an_unchanged_backend_keeps_what_it_has_learned() -> None:
    """Its adapter is the same object, facts and connections included."""
    parts, _ = keep()
    before = build(config_of(), ENVIRON, parts, ()).gateway
    before.posts["small"].backend.facts = Facts("ready", context_window=8192)
    after = build(config_of(TWO_TIERS + "routing: {threshold: 0.9}\n"), ENVIRON, parts, ()).gateway
    assert after.posts["small"].backend is before.posts["small"].backend
    assert after.router is before.router


async def test_slots_belong_to_the_box_not_to_the_name() -> None:
    """Renamed and resized, it is still the same lane with the same holders."""
    parts, _ = keep()
    before = build(config_of(), ENVIRON, parts, ()).gateway.posts["small"].lane
    before.inflight = 1
    renamed = TWO_TIERS.replace("small", "tiny").replace("concurrent: 1", "concurrent: 3")
    after = build(config_of(renamed), ENVIRON, parts, ()).gateway.posts["tiny"].lane
    assert after is before
    assert (after.slots, after.inflight) == (3, 1)


async def test_another_key_makes_another_adapter() -> None:
    """A rotated secret is used from the reload on."""
    parts, _ = keep()
    before = build(config_of(), ENVIRON, parts, ()).gateway.posts["large"].backend
    after = build(config_of(), {"BIG_KEY": "rotated"}, parts, ()).gateway.posts["large"].backend
    assert after is not before


async def test_what_is_not_used_any_more_is_forgotten() -> None:
    """Only the backends of the gateway that serves are probed."""
    parts, _ = keep()
    build(config_of(), ENVIRON, parts, ())
    only = TWO_TIERS.replace(", {name: llm, backends: [large]}", "")
    gateway = build(config_of(only), ENVIRON, parts, ()).gateway
    assert [one.backend.spec.name for one in parts.probed(gateway)] == ["small"]


async def test_a_bug_is_logged_by_its_place_not_by_its_words() -> None:
    """The message of an unforeseen error may quote a prompt."""
    parts, log = keep()
    try:
        raise ValueError("the prompt was: my secret")
    except ValueError as error:
        parts.on_bug("req-1", error)
    parts.log.flush()
    said = log.getvalue()
    assert b"ValueError" in said
    assert b"test_keep" in said
    assert b"secret" not in said


async def test_a_router_failure_is_counted_and_logged() -> None:
    """The request is served all the same; see the driver's tests."""
    parts, log = keep()
    parts.on_router_failure(RuntimeError("words"))
    parts.log.flush()
    assert b"RuntimeError" in log.getvalue()
    await parts.close()
