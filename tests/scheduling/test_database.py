"""The table that a job writes to, as different databases are asked to make it."""

from __future__ import annotations

import pytest

from forecast.common.errors import UsageError
from forecast.data.io.database import engine_to_write
from forecast.scheduling.config_file import load_config
from forecast.scheduling.database import _table

pytest.importorskip("sqlalchemy")
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.schema import CreateTable

COLUMNS = ["unique_id", "ds", "LSTM", "source", "reason"]


@pytest.fixture
def job(tmp_path):
    config = tmp_path / "batch.yaml"
    config.write_text("jobs:\n  a: {data: x, outputs: {database: 'env:BASE', table: fc}}\n")
    return next(iter(load_config(config).jobs.values()))


def made(job, dialect) -> str:
    return str(CreateTable(_table(job, COLUMNS)).compile(dialect=dialect))


def test_the_key_fits_into_mysql_s_index_and_tells_all_ids_apart(job):
    table = _table(job, COLUMNS)
    text = made(job, mysql.dialect())
    signs = [each.type.length for each in table.primary_key]
    assert all(f"VARCHAR({n})" in text for n in signs)
    assert 4 * sum(signs) <= 3072  # bytes of InnoDB's longest key, at four for each sign
    assert "CHARSET=utf8mb4" in text and "COLLATE utf8mb4_bin" in text


def test_other_databases_are_told_nothing_of_it(job):
    for dialect in (postgresql.dialect(), sqlite.dialect()):
        assert "utf8mb4" not in made(job, dialect)
        assert "unique_id TEXT NOT NULL" in made(job, dialect)


@pytest.mark.parametrize(
    "address, advice",
    [
        ("nosuch://me:hunter2@h/x", "SQLAlchemy's page"),
        ("mysql+pymysql://me:hun@ter2@h/x", "write @ as %40"),
        ("no address", "Write it as"),
    ],
)
def test_an_address_that_is_of_no_use_says_what_to_do(job, address, advice):
    with pytest.raises(UsageError) as caught:
        engine_to_write(address, str(job.config))
    assert advice in caught.value.remedy
    assert "ter2" not in str(caught.value)
