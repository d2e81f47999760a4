"""Many rows in few statements. Synchronous, for a transaction of the caller.

Django's `bulk_create` compiles every value by itself, which takes several times as long as SQLite takes to write them.
Names of tables and columns come from the models, never from outside.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from django.db import connection
from django.db.models import Field, Model
from django.db.models.options import Options

ROWS_PER_STATEMENT = 400
# What the drivers take as it is; values of other fields are prepared by the field.
_PLAIN = frozenset({"CharField", "TextField", "PositiveIntegerField", "BooleanField"})


def insert_or_replace(
    model: type[Model], names: Sequence[str], rows: Iterable[Sequence[Any]], *, unique: Sequence[str]
) -> None:
    """Insert rows of values in the order of `names`; one that has the same `unique` values gets the others.

    Fields without a name here keep the database's default; `auto_now` is not applied.
    """
    fields = [_options(model).get_field(name) for name in names]
    keys = [field.column for field in fields if field.name in unique]
    sets = ", ".join(f"{_quoted(field)} = excluded.{_quoted(field)}" for field in fields if field.name not in unique)
    columns = ", ".join(map(_quoted, fields))
    one = f"({', '.join(['%s'] * len(fields))})"
    prepared = _prepared(fields, rows)
    with connection.cursor() as cursor:
        while part := list(islice(prepared, ROWS_PER_STATEMENT)):
            cursor.execute(
                f"INSERT INTO {_table(model)} ({columns}) VALUES {', '.join([one] * len(part))} "  # noqa: S608 - names of models
                f"ON CONFLICT ({', '.join(map(_name, keys))}) DO UPDATE SET {sets}",
                [value for row in part for value in row],
            )


def update_each(model: type[Model], names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Set the fields `names` of rows: values in their order, then the primary key. Unknown keys are ignored."""
    fields = [_options(model).get_field(name) for name in names]
    key = _options(model).pk
    sets = ", ".join(f"{_quoted(field)} = %s" for field in fields)
    with connection.cursor() as cursor:
        cursor.executemany(
            f"UPDATE {_table(model)} SET {sets} WHERE {_quoted(key)} = %s",  # noqa: S608 - names of models
            list(_prepared([*fields, key], rows)),
        )


def _prepared(fields: Sequence[Field], rows: Iterable[Sequence[Any]]) -> Iterator[list[Any]]:
    prepare = [_preparer(field) for field in fields]
    for row in rows:
        yield [value if ready is None else ready(value) for ready, value in zip(prepare, row, strict=True)]


def _preparer(field: Field) -> Callable[[Any], Any] | None:
    if field.get_internal_type() in _PLAIN:
        return None
    last = ready = None

    def prepare(value: Any) -> Any:
        nonlocal last, ready
        if value is not last or value is None:  # neighbours often share a document and a time
            last, ready = value, field.get_db_prep_save(value, connection)
        return ready

    return prepare


def _options(model: type[Model]) -> Options:
    return model._meta  # noqa: SLF001 - a public interface of Django in spite of its name


def _quoted(field: Field) -> str:
    return _name(field.column)


def _name(name: str) -> str:
    return connection.ops.quote_name(name)


def _table(model: type[Model]) -> str:
    return _name(_options(model).db_table)
