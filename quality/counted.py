"""Expectations of Great Expectations that ask the database for counts and for nothing else.

Great Expectations' own expectations fetch failing values to show them. Each one here is a subclass that
computes only how many rows there are, how many are empty and how many break the rule, so that no value of a
record ever leaves the database, whatever the result format. Conditions on rows are aggregates of one query.

Importing this module imports Great Expectations, which takes seconds; only `quality.run` does, when it runs.
"""

from collections.abc import Callable, Mapping
from typing import Any

import great_expectations.expectations as gxe
from great_expectations.compatibility.pydantic import Field
from great_expectations.compatibility.sqlalchemy import sqlalchemy as sa
from great_expectations.core.metric_domain_types import MetricDomainTypes
from great_expectations.core.metric_function_types import MetricPartialFunctionTypes
from great_expectations.execution_engine import SqlAlchemyExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation
from great_expectations.expectations.metrics.metric_provider import metric_partial, metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider

from quality.suite import Expectation

_BOOLEAN_ONLY = {"result_format": {"result_format": "BOOLEAN_ONLY"}}
_ROW_COUNT = "table.row_count"
_EMPTY_COUNT = "column_values.nonnull.unexpected_count"
_ROWS_WHERE = "table.rows_where"
_QUERY_ROWS = "table.query_rows"
_FIGURES = "table.figures"


class _CountsOnly:
    """Mixed into an expectation: asks for the metrics of a yes-or-no result and reports their counts."""

    def get_validation_dependencies(
        self, execution_engine: Any = None, runtime_configuration: dict[str, Any] | None = None, **_: Any
    ) -> Any:
        """The metrics of a yes-or-no result: none of them is a value of a record."""
        dependencies = super().get_validation_dependencies(  # type: ignore[misc]
            execution_engine=execution_engine, runtime_configuration=_BOOLEAN_ONLY
        )
        # Under BOOLEAN_ONLY the counts would be dropped from the result.
        dependencies.result_format = (runtime_configuration or {})["result_format"]
        return dependencies

    def _validate(
        self, metrics: Mapping[str, Any], runtime_configuration: Any = None, execution_engine: Any = None
    ) -> dict[str, Any]:
        del runtime_configuration
        judged = super()._validate(  # type: ignore[misc]
            metrics=metrics, runtime_configuration=_BOOLEAN_ONLY, execution_engine=execution_engine
        )
        rule = next(
            (name for name in metrics if name.endswith(".unexpected_count") and name != _EMPTY_COUNT),
            _EMPTY_COUNT,
        )
        # The database's sum over no rows is null.
        counts = {
            "element_count": metrics[_ROW_COUNT],
            "missing_count": metrics[_EMPTY_COUNT] or 0,
            "unexpected_count": metrics[rule] or 0,
        }
        return {"success": judged["success"], "result": counts}


class ExpectCountedColumnValuesToNotBeNull(_CountsOnly, gxe.ExpectColumnValuesToNotBeNull):  # type: ignore[misc]
    """Counted column_values_to_not_be_null."""


class ExpectCountedColumnValuesToBeInSet(_CountsOnly, gxe.ExpectColumnValuesToBeInSet):  # type: ignore[misc]
    """Counted column_values_to_be_in_set."""


class ExpectCountedColumnValuesToBeBetween(_CountsOnly, gxe.ExpectColumnValuesToBeBetween):  # type: ignore[misc]
    """Counted column_values_to_be_between."""


class ExpectRowCountToBeAtLeast(gxe.ExpectTableRowCountToBeBetween):  # type: ignore[misc]
    """At least `min_value` rows; the number found is the element count."""

    def _validate(self, metrics: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        rows = metrics[_ROW_COUNT]
        return {"success": rows >= self.min_value, "result": {"element_count": rows}}


class RowsWhere(TableMetricProvider):  # type: ignore[misc]
    """Metric: how many rows meet an SQL condition. An aggregate, so that many share one scan of the table."""

    metric_name = _ROWS_WHERE
    value_keys = ("condition",)

    @metric_partial(
        engine=SqlAlchemyExecutionEngine,
        partial_fn_type=MetricPartialFunctionTypes.AGGREGATE_FN,
        domain_type=MetricDomainTypes.TABLE,
    )  # type: ignore[untyped-decorator]
    def _sqlalchemy(
        cls,  # noqa: N805  (Great Expectations calls it with the class)
        execution_engine: Any,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any],
    ) -> Any:
        condition = sa.literal_column(f"({metric_value_kwargs['condition']})")
        return sa.func.count_if(condition), metric_domain_kwargs, {}


class ExpectNoRowsWhere(BatchExpectation):  # type: ignore[misc]
    """No row (or, with `mostly`, at most the remaining share of rows) meets an SQL condition."""

    condition: str = Field(description="SQL condition on one row; a row for which it holds breaks the rule.")
    mostly: float = Field(default=1.0, description="Share of rows that must keep to the rule.")

    metric_dependencies = (_ROW_COUNT, _ROWS_WHERE)
    success_keys = ("condition", "mostly")
    domain_keys = ("batch_id", "table")

    def _validate(self, metrics: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        rows, broken = metrics[_ROW_COUNT], metrics[_ROWS_WHERE] or 0
        kept = rows == 0 or (rows - broken) / rows >= self.mostly
        return {"success": kept, "result": {"element_count": rows, "unexpected_count": broken}}


class QueryRows(TableMetricProvider):  # type: ignore[misc]
    """Metric: how many rows a query returns, counted in the database."""

    metric_name = _QUERY_ROWS
    value_keys = ("query",)

    @metric_value(engine=SqlAlchemyExecutionEngine)  # type: ignore[untyped-decorator]
    def _sqlalchemy(
        cls,  # noqa: N805
        execution_engine: Any,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any],
    ) -> int:
        counting = sa.select(sa.literal_column(f"(select count(*) from ({metric_value_kwargs['query']}))"))
        return int(execution_engine.execute_query(counting).fetchone()[0])


class ExpectNoRowsFrom(BatchExpectation):  # type: ignore[misc]
    """A query returns no row. Unlike UnexpectedRowsExpectation, it fetches none when there are some."""

    query: str = Field(description="SQL query; each row that it returns is one finding.")

    metric_dependencies = (_ROW_COUNT, _QUERY_ROWS)
    success_keys = ("query",)
    domain_keys = ("batch_id", "table")

    def _validate(self, metrics: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        rows, found = metrics[_ROW_COUNT], metrics[_QUERY_ROWS]
        return {"success": found == 0, "result": {"element_count": rows, "unexpected_count": found}}


class Figures(TableMetricProvider):  # type: ignore[misc]
    """Metric: how many rows meet one condition, and how many of those another one as well."""

    metric_name = _FIGURES
    value_keys = ("relation", "among", "off")

    @metric_value(engine=SqlAlchemyExecutionEngine)  # type: ignore[untyped-decorator]
    def _sqlalchemy(
        cls,  # noqa: N805
        execution_engine: Any,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        metrics: dict[str, Any],
        runtime_configuration: dict[str, Any],
    ) -> tuple[int, int]:
        among, off = metric_value_kwargs["among"], metric_value_kwargs["off"]
        counting = sa.select(
            sa.literal_column(f"count_if({among})"), sa.literal_column(f"count_if(({among}) and ({off}))")
        ).select_from(sa.text(metric_value_kwargs["relation"]))
        judged, found = execution_engine.execute_query(counting).fetchone()
        return int(judged), int(found)


class ExpectNoFigureOff(BatchExpectation):  # type: ignore[misc]
    """No row of those that meet one condition meets another; the element count is of those judged."""

    relation: str = Field(description="Table of figures, one to a row.")
    among: str = Field(description="SQL condition: which figures are judged.")
    off: str = Field(description="SQL condition: which of them are not as expected.")

    metric_dependencies = (_FIGURES,)
    success_keys = ("relation", "among", "off")
    domain_keys = ("batch_id", "table")

    def _validate(self, metrics: Mapping[str, Any], **_: Any) -> dict[str, Any]:
        judged, found = metrics[_FIGURES]
        return {"success": found == 0, "result": {"element_count": judged, "unexpected_count": found}}


def as_gx(expectation: Expectation, relation: str, number: int) -> Any:
    """The Great Expectations object that checks `expectation` on `relation`; `number` tells its result."""
    made = _MAKERS[expectation.expect](relation, expectation.parameters)
    made.meta = {"number": number}
    made.severity = {"stop": "critical", "warn": "warning"}[expectation.severity]
    return made


def _condition(where: str, parameters: Mapping[str, Any]) -> Any:
    return ExpectNoRowsWhere(condition=where, mostly=parameters.get("mostly", 1.0))


def _duplicates(relation: str, columns: list[str]) -> Any:
    key = ", ".join(f'"{column}"' for column in columns)
    return ExpectNoRowsFrom(query=f"select 1 as found from {relation} group by {key} having count(*) > 1")


_MAKERS: dict[str, Callable[[str, Mapping[str, Any]], Any]] = {
    "column_values_to_not_be_null": lambda _, keys: ExpectCountedColumnValuesToNotBeNull(**keys),
    "column_values_to_be_in_set": lambda _, keys: ExpectCountedColumnValuesToBeInSet(**keys),
    "column_values_to_be_between": lambda _, keys: ExpectCountedColumnValuesToBeBetween(**keys),
    # Not by a regular expression of Great Expectations: it has none for a dialect that it does not know.
    "column_values_to_match": lambda _, keys: _condition(
        f"not regexp_full_match(\"{keys['column']}\", '{keys['pattern']}')", keys
    ),
    "columns_to_be_unique": lambda relation, keys: _duplicates(relation, keys["columns"]),
    "row_count_to_be_at_least": lambda _, keys: ExpectRowCountToBeAtLeast(min_value=keys["min_value"]),
    "no_rows_where": lambda _, keys: _condition(keys["where"], keys),
    "no_rows_from": lambda relation, keys: ExpectNoRowsFrom(query=keys["sql"].replace("{batch}", relation)),
    "no_figure_off": lambda relation, keys: ExpectNoFigureOff(relation=relation, **keys),
}
