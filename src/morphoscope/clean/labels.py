"""From votes to classes: SQL conditions over the source's own columns, first match wins."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

import polars as pl

from morphoscope.errors import LabelError
from morphoscope.recipe import ClassRule, CleanSettings, DropRule

__all__ = ["classify", "compare_counts", "condition"]

QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`")
COMMENT = re.compile(r"--|/\*")
CALL = re.compile(r"(\"\"|``|[A-Za-z_]\w*)\s*\(")
# A condition is asked of one row at a time. In SQL every aggregate and every window is a call, so
# only calls of functions that see one row are let through, and words that a bracket may follow.
ROW_WISE = """
AND OR NOT IN BETWEEN LIKE ILIKE RLIKE REGEXP IS WHEN THEN ELSE CASE DECIMAL NUMERIC VARCHAR
ABS CEIL CEILING FLOOR ROUND SIGN MOD DIV SQRT CBRT POW POWER EXP LN LOG LOG1P LOG2 LOG10 PI
SIN COS TAN COT ASIN ACOS ATAN ATAN2 SIND COSD TAND ASIND ACOSD ATAND DEGREES RADIANS
COALESCE NULLIF IFNULL IF GREATEST LEAST CAST TRY_CAST LOWER UPPER LENGTH CHAR_LENGTH CONCAT
TRIM LTRIM RTRIM LEFT RIGHT SUBSTR SUBSTRING REPLACE STARTS_WITH ENDS_WITH STRPOS REGEXP_LIKE
"""


def classify(table: pl.LazyFrame, settings: CleanSettings) -> pl.DataFrame:
    """Give every row a class, or the reason why it has none.

    The table is read once, and of it only the columns that the rules name.

    Parameters
    ----------
    table
        (n rows) The source's own columns: votes, answers, flags.
    settings
        Drop rules are asked first, then the classes in their order; the first match wins. Unknown
        values (NULL, NaN) match nothing. Without class rules the column ``class`` is the class.

    Returns
    -------
    polars.DataFrame
        (n rows) ``class`` and ``reason``, categorical, in the order of the table; of the two
        exactly one is null. Rows that match no rule have the reason ``no_class``.

    Raises
    ------
    LabelError
        A rule is not SQL, names a column that is not there, looks at more than its row, or gives
        something else than true and false; or there is neither rule nor column ``class``.

    Examples
    --------
    >>> rules = CleanSettings(classes=[ClassRule(name="smooth", where='"Class1.1" >= 0.469')])
    >>> classify(pl.LazyFrame({"Class1.1": [0.9, 0.1, None]}), rules)["class"].to_list()
    ['smooth', None, None]
    """
    schema = table.collect_schema()
    _require_rules(settings, schema)
    rules: list[DropRule | ClassRule] = [*settings.drop, *settings.classes]
    matches = [condition(rule, schema.names()) for rule in rules]
    named = {name for match in matches for name in match.meta.root_names()}
    # To polars NaN is larger than any number; in a vote table it is an unknown.
    floats = [pl.col(name).fill_nan(None) for name in sorted(named) if schema[name].is_float()]
    known = table.with_columns(floats)
    _require_conditions(known, rules, matches)
    own = pl.lit(None) if settings.classes else pl.col("class")
    names = [rule.name if isinstance(rule, ClassRule) else None for rule in rules]
    reasons = [rule.reason if isinstance(rule, DropRule) else None for rule in rules]
    left_out = pl.when(own.is_null()).then(pl.lit("no_class"))
    answers = {
        "class": _first_match(matches, names, own.cast(pl.String)),
        "reason": _first_match(matches, reasons, left_out),
    }
    try:
        answered = known.with_columns(**answers).select(pl.col(*answers).cast(pl.Categorical))
        return answered.collect(engine="streaming")
    except pl.exceptions.PolarsError as error:
        _blame(known, rules, matches)
        raise LabelError(f"the table cannot be read: {_first_line(error)}") from error


def _first_match(
    matches: Sequence[pl.Expr], answers: Sequence[str | None], otherwise: pl.Expr
) -> pl.Expr:
    for match, answer in reversed(list(zip(matches, answers, strict=True))):
        otherwise = pl.when(match).then(pl.lit(answer, pl.String)).otherwise(otherwise)
    return otherwise


def compare_counts(labels: pl.DataFrame, settings: CleanSettings) -> list[str]:
    """Say which classes do not have the number of rows that the recipe expects.

    Raises
    ------
    LabelError
        A class has no row, and the recipe does not expect that.
    """
    counts = dict(labels["class"].drop_nulls().value_counts().iter_rows())
    warnings = []
    for rule in settings.classes:
        n = counts.get(rule.name, 0)
        if not n and rule.expect != 0:
            raise LabelError(
                f"no row of the table matches the rule of class {rule.name!r}: {rule.where}",
                do="mend the rule, or the rules before it; the first match wins",
                rule=rule.name,
            )
        if rule.expect not in (None, n):
            warnings.append(
                f"class {rule.name!r} has {n:,} rows in the table, {rule.expect:,} were expected "
                f"({n - rule.expect:+,})"
            )
    return warnings


def condition(rule: DropRule | ClassRule, columns: Sequence[str]) -> pl.Expr:
    """Translate the SQL condition of a rule.

    Raises
    ------
    LabelError
        It is not SQL, names a column that is not there, or looks at more than its own row.
    """
    _refuse_other_rows(rule)
    try:
        expression = pl.sql_expr(rule.where)
    except pl.exceptions.PolarsError as error:
        raise LabelError(
            f"{_title(rule)} is not an SQL condition: {_first_line(error)}: {rule.where}",
            do="mend it; column names that hold a dot stand in double quotes",
            rule=_title(rule),
        ) from error
    for name in expression.meta.root_names():
        if name not in columns:
            raise LabelError(
                f"{_title(rule)} names the column {name!r}, which the table does not have",
                expected=f"one like {_nearest(name, columns)}",
                do="mend the rule; double quotes are for columns, single quotes for text",
                rule=_title(rule),
                column=name,
            )
    return expression


def _require_rules(settings: CleanSettings, schema: pl.Schema) -> None:
    names = [rule.name for rule in settings.classes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise LabelError(f"class {twice[0]!r} has two rules", do="join them with OR")
    if not names and "class" not in schema:
        raise LabelError(
            "the recipe has no class rules and the table no column 'class'",
            expected=f"one like {_nearest('class', schema.names())}",
            do="give rules as [[clean.classes]] with name and where",
        )


def _refuse_other_rows(rule: DropRule | ClassRule) -> None:
    text = QUOTED.sub(lambda quoted: 2 * quoted[0][0], rule.where)
    for name in CALL.findall(text):
        if name.upper() not in ROW_WISE.split():
            raise LabelError(
                f"{_title(rule)} calls {name}, which is not known to look at one row only",
                expected="comparisons, and functions of one row such as ABS, ROUND or COALESCE",
                do="compute that into a column of the table first",
                rule=_title(rule),
            )
    if COMMENT.search(text):
        raise LabelError(f"{_title(rule)} holds an SQL comment", do="move it into the TOML")


def _require_conditions(
    table: pl.LazyFrame, rules: Sequence[DropRule | ClassRule], matches: Sequence[pl.Expr]
) -> None:
    for rule, match in zip(rules, matches, strict=True):
        try:
            kind = table.select(match).collect_schema().dtypes()[0]
        except pl.exceptions.PolarsError as error:
            raise _inapplicable(rule, error) from error
        if kind != pl.Boolean:
            raise LabelError(
                f"{_title(rule)} gives {kind}: {rule.where}",
                expected="a condition, true or false",
                do="compare it with something",
                rule=_title(rule),
            )


def _blame(
    table: pl.LazyFrame, rules: Sequence[DropRule | ClassRule], matches: Sequence[pl.Expr]
) -> None:
    """Find the rule that cannot be applied, once it is known that one cannot."""
    for rule, match in zip(rules, matches, strict=True):
        try:
            table.select(match).collect(engine="streaming")
        except pl.exceptions.PolarsError as error:
            raise _inapplicable(rule, error) from error


def _inapplicable(rule: DropRule | ClassRule, error: Exception) -> LabelError:
    return LabelError(
        f"{_title(rule)} cannot be applied: {_first_line(error)}: {rule.where}",
        do="compare text with text and numbers with numbers, or mend the table",
        rule=_title(rule),
    )


def _title(rule: DropRule | ClassRule) -> str:
    if isinstance(rule, ClassRule):
        return f"the rule of class {rule.name!r}"
    return f"the drop rule {rule.reason!r}"


def _nearest(name: str, columns: Sequence[str]) -> str:
    by_case = {column.casefold(): column for column in columns}
    near = difflib.get_close_matches(name.casefold(), list(by_case), n=3, cutoff=0.5)
    return ", ".join([by_case[key] for key in near] or list(columns[:12]))


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
