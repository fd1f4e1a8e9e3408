"""docs/config.md and the models of the config say the same: each key with its type and default, and all around it."""

from __future__ import annotations

import re
import sqlite3
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from app.core.fold import fold
from app.core.patterns import PATTERNS
from app.core.prices import terms
from app.main import reload
from app.settings import Source, backends, baseline, config, prices, rules
from app.settings.fields import parse_duration
from app.settings.overrides import variable
from app.stores import sqlite
from app.stores.schema import MIGRATIONS
from tests.docs.pages import blocks, rows, section, word, words
from tests.docs.settings import default_of, type_of
from tests.settings.configs import TWO, load

PAGE = "config.md"
KINDS: dict[str, type[BaseModel]] = {
    kind: model
    for model in (
        backends.Ollama,
        backends.HfEndpoint,
        backends.OpenAI,
        backends.LlamaCpp,
        backends.Batching,
        backends.OneByOne,
        backends.Scripted,
    )
    for kind in get_args(model.model_fields["kind"].annotation)
}
SERVED, PRICED = backends._Served, prices._Priced
# Heading, number of the table under it, the model, and one whose keys stand elsewhere.
TABLES: list[tuple[str, int, type[BaseModel], type[BaseModel] | None]] = [
    ("Top", 0, config.GatewayConfig, None),
    ("server", 0, config.Server, None),
    ("keys", 0, config.ClientKey, None),
    ("backends", 0, SERVED, None),
    ("Kinds", 1, backends.Ollama, SERVED),
    ("Kinds", 2, backends.HfEndpoint, SERVED),
    ("Kinds", 3, backends.Startable, SERVED),
    ("Kinds", 4, backends.Scripted, SERVED),
    ("start", 0, backends.Start, None),
    ("start", 1, backends.LlamaServer, None),
    ("capacity", 0, backends.Capacity, None),
    ("timeouts", 0, backends.Timeouts, None),
    ("Prices", 0, PRICED, None),
    ("Prices", 1, prices.TokenPrice, PRICED),
    ("Prices", 2, prices.HourPrice, PRICED),
    ("Prices", 3, prices.LocalPrice, PRICED),
    ("tiers", 0, config.Tier, None),
    ("routing", 0, config.Routing, None),
    ("Rules", 0, rules.Rule, None),
    ("Rules", 1, rules.When, None),
    ("Rules", 2, rules.Then, None),
    ("Rules", 3, rules.Regex, None),
    ("embeddings", 0, config.Embeddings, None),
    ("baseline", 0, baseline.Baseline, None),
    ("state", 0, config.State, None),
    ("records", 0, config.Records, None),
]

PRICE_EXAMPLES: list[tuple[Any, dict[str, float]]] = [
    (prices.TokenPrice, {"input": 1, "output": 2}),
    (prices.HourPrice, {"usd_per_hour": 1}),
    (prices.LocalPrice, {"watts": 1, "usd_per_kwh": 1, "hardware_usd": 1, "life_years": 1}),
    (prices.Unpriced, {}),
]


@pytest.mark.parametrize(("heading", "number", "model", "less"), TABLES, ids=lambda one: getattr(one, "__name__", None))
def test_keys(heading: str, number: int, model: type[BaseModel], less: type[BaseModel] | None) -> None:
    """Every key with its type and default, and no other key."""
    elsewhere = less.model_fields if less else {}
    expected = {
        name: (type_of(field), default_of(field)) for name, field in model.model_fields.items() if name not in elsewhere
    }
    assert {word(row[0]): (row[1], row[2]) for row in rows(PAGE, heading, number)} == expected


def sections(model: type[BaseModel]) -> set[type[BaseModel]]:
    """A model and all that can stand in it."""
    found = {model}
    for field in model.model_fields.values():
        for inner in _models(field.annotation):
            found |= sections(inner)
    return found


def _models(kind: object) -> set[type[BaseModel]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {kind}
    return {model for one in get_args(kind) for model in _models(one)}


def test_every_section_has_a_table() -> None:
    """Whatever can stand in a config is shown, kinds that share a model under that model's family."""
    shown = {model for _, _, model, _ in TABLES}
    rest = sections(config.GatewayConfig) - shown
    assert rest == {backends.OpenAI, backends.LlamaCpp, backends.Batching, backends.OneByOne, prices.Unpriced}
    for model in (backends.OpenAI, backends.LlamaCpp):
        assert model.model_fields.keys() == backends.Startable.model_fields.keys()
    for model in (backends.Batching, backends.OneByOne):
        assert model.model_fields.keys() == SERVED.model_fields.keys()
    assert prices.Unpriced.model_fields.keys() == {"kind"}


def test_a_scripted_backend_has_no_address() -> None:
    """The keys that the page says it lacks."""
    told = section(PAGE, "backends").rstrip().splitlines()[-1]
    assert set(words(told)) - {"scripted"} == SERVED.model_fields.keys() - backends.Scripted.model_fields.keys()


def test_kinds() -> None:
    """All of them, each with its own default of slots and queue."""
    told = {word(row[0]): row[2] for row in rows(PAGE, "Kinds")}
    assert told.keys() == KINDS.keys()
    for kind, model in KINDS.items():
        capacity = model.model_fields["capacity"].default
        assert told[kind] == f"{capacity.concurrent}, {capacity.queue}"
    assert KINDS.keys() - {kind for kind in KINDS if _embeds(kind)} == {"tgi", "transformers"}


def _embeds(kind: str) -> bool:
    values = {"kind": kind, "zone": "local", "model": "m", "price": "unpriced", "base_url": "http://localhost"}
    fields = KINDS[kind].model_fields
    return bool(KINDS[kind].model_validate({key: one for key, one in values.items() if key in fields}).embeds)  # type: ignore[attr-defined]


def test_what_need_not_be_written_with_start() -> None:
    """The three keys, with what they are then."""
    text = (
        "backends: {s: {kind: openai, zone: local, model: m, price: unpriced, start: {llama_server: {model: m.gguf}}}}"
    )
    config = load(text).config
    chosen, server = config.backends["s"], backends.LlamaServer(model="m.gguf")
    told = " ".join(section(PAGE, "start").split())
    assert f"`base_url` is `{backends.STARTED_AT}`" in told
    assert chosen.spec("s").base_url == backends.STARTED_AT
    assert "`capacity.concurrent` is `slots`; `context_window` is `context`" in told
    assert (chosen.capacity.concurrent, chosen.context_window) == (server.slots, server.context)
    assert (chosen.speaks, chosen.zone) == ("llama-cpp", "local")


def test_share_by_default() -> None:
    """What holds if neither share nor threshold is written."""
    told = next(row[3] for row in rows(PAGE, "routing") if word(row[0]) == "llm_share")
    assert f"{config.DEFAULT_SHARE:g} if neither" in told
    assert config.Routing().llm_share == config.DEFAULT_SHARE


# --- text, environment, secrets, reload ---------------------------------------------------------------------


def test_durations() -> None:
    """Each example is read as the page says."""
    for row in rows(PAGE, "Words in the tables", 1):
        assert parse_duration(word(row[0])) == float(row[1])


def test_types_are_explained() -> None:
    """Those words of the tables that do not speak for themselves."""
    told = {row[0] for row in rows(PAGE, "Words in the tables")}
    used = {type_of(field) for _, _, model, _ in TABLES for field in model.model_fields.values()}
    assert all(any(re.search(rf"\b{one}\b", kind) for kind in used) for one in told)


def test_variables() -> None:
    """Each example stands for its key, and replaces it."""
    for name, key in rows(PAGE, "From the environment"):
        path = tuple(int(part) if part.isdigit() else part for part in re.split(r"[.\[]", word(key).replace("]", "")))
        assert variable(path) == word(name)
    assert load(TWO, {"SMALLFIRST_SERVER__PORT": "9000"}).config.server.port == 9000
    assert "did you mean SMALLFIRST_SERVER__PORT?" in load(TWO, {"SMALLFIRST_SERVER__PROT": "1"}).warnings[0]


def test_missing_secrets() -> None:
    """What follows where a variable is not set."""
    text = TWO.replace("model: big", "model: big, api_key_env: BIG_KEY")
    text += "server: {admin_key_env: ADMIN_KEY}\nkeys: [{name: app, env: APP_KEY}]\n"
    told = {f"{word(row[0])}: {row[1]}" for row in rows(PAGE, "Secrets")}
    warned = {re.sub(r"the variable \w+ is not set; ", "", warning) for warning in load(text).warnings}
    assert told == warned


def test_what_only_a_restart_changes() -> None:
    """The page names each of them."""
    old = load(TWO).config
    new = load(
        TWO + "server: {host: localhost, port: 1, drain_delay: 1s, drain_timeout: 1s, max_body_mb: 1}\nrecords: {}\n"
    ).config
    warned = {line.partition(":")[0] for line in reload._fixed(old, new)}
    told = section(PAGE, "Reload").partition("Only a restart changes:")[2].partition(";")[0]
    assert set(words(told)) == warned


@pytest.mark.parametrize("text", blocks(PAGE, "yaml"))
def test_the_example_is_one_config(text: str) -> None:
    """It loads, and lacks nothing but its secret."""
    assert all("is not set" in warning for warning in Source(None, {}, text).load().warnings)


# --- rules, records -----------------------------------------------------------------------------------------


def test_patterns() -> None:
    """All built-in ones; each finds its example, and only that one does."""
    told = {word(row[0]): word(row[2]) for row in rows(PAGE, "Rules", 4)}
    assert told.keys() == PATTERNS.keys()
    for name, example in told.items():
        assert {one for one, has in PATTERNS.items() if has(fold(f"It is {example}, he said."))} == {name}


def test_headers_no_rule_may_ask_about() -> None:
    """Those that hold secrets."""
    told = section(PAGE, "Rules").partition("cannot be asked about:")[2].partition("\n")[0]
    assert set(words(told)) == rules._SECRET


def test_refused_expressions() -> None:
    """The example of the page is one."""
    assert "`(a+)+`" in section(PAGE, "Rules")
    for bad in ("(a+)+", "a*", "x" * 1001):
        with pytest.raises(ValueError, match="regex"):
            rules.Regex(regex=bad)


def test_tables_of_the_records() -> None:
    """As the migrations make them."""
    db = sqlite3.connect(":memory:")
    for step in MIGRATIONS:
        db.executescript(step)
    made = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    db.close()
    assert {word(row[0]) for row in rows(PAGE, "records", 1)} == made


def test_prices_of_the_records() -> None:
    """Each says what stands in the config under `price`, by the same names."""
    told = next(row[1] for row in rows(PAGE, "records", 1) if word(row[0]) == "prices")
    assert "the keys above with the values they had, `awake` in seconds of the UTC day" in told
    for model, values in PRICE_EXAMPLES:
        price = model(kind=get_args(model.model_fields["kind"].annotation)[0], **values)
        assert terms(price.to_core()).keys() == model.model_fields.keys() | {"currency"}
    hours = prices.HourPrice(kind="compute-hour", usd_per_hour=1, awake="08:00-20:00")
    assert terms(hours.to_core())["awake"] == ((28_800, 72_000),)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no modes")
def test_mode_of_a_new_file(tmp_path: Path) -> None:
    """Its owner's alone."""
    sqlite.connect(tmp_path / "records.db").close()
    assert f"(mode {(tmp_path / 'records.db').stat().st_mode & 0o777:04o})" in section(PAGE, "records")


def test_numbers_of_the_records() -> None:
    """How long a record waits, and how many may."""
    told = section(PAGE, "records").replace("\n", " ")
    assert sqlite.EVERY == 0.5
    assert "at most half a second" in told
    assert f"up to {sqlite.BACKLOG:,} records" in told
