"""Formula queries, protobuf to engine."""

from collections.abc import Callable
from typing import Any

import qdrant_edge as edge
from qdrant_client import grpc as pb

from collections_admin.edge_node.errors import invalid
from collections_admin.edge_node.filters import condition, geo_point, optional
from collections_admin.edge_node.values import payload_to_python

Expression = edge.Expression
DECAYS = {
    "exp_decay": edge.DecayKind.Exp,
    "gauss_decay": edge.DecayKind.Gauss,
    "lin_decay": edge.DecayKind.Lin,
}
LISTS = {"mult": Expression.Mult, "sum": Expression.Sum, "max": Expression.Max, "min": Expression.Min}
UNARY = {
    "neg": Expression.Neg,
    "abs": Expression.Abs,
    "sqrt": Expression.Sqrt,
    "exp": Expression.Exp,
    "log10": Expression.Log10,
    "ln": Expression.Ln,
    "acosh": Expression.Acosh,
}
LEAVES: dict[str, Callable[[Any], Any]] = {
    "constant": Expression.Constant,
    "variable": Expression.Variable,
    "condition": lambda value: Expression.Condition(condition(value)),
    "geo_distance": lambda value: Expression.GeoDistance(geo_point(value.origin), value.to),
    "datetime": Expression.Datetime,
    "datetime_key": Expression.DatetimeKey,
}


def _decay(kind: str, value: pb.DecayParamsExpression) -> Any:
    target = _expression(value.target) if value.HasField("target") else None
    x = _expression(value.x)
    return Expression.Decay(DECAYS[kind], x, target, optional(value, "midpoint"), optional(value, "scale"))


def _expression(message: pb.Expression) -> Any:
    kind = message.WhichOneof("variant")
    if kind is None:
        raise invalid("expression of a formula is empty")
    value = getattr(message, kind)
    if kind in LEAVES:
        return LEAVES[kind](value)
    if kind in LISTS:
        return LISTS[kind]([_expression(part) for part in getattr(value, kind)])
    if kind in UNARY:
        return UNARY[kind](_expression(value))
    if kind in DECAYS:
        return _decay(kind, value)
    if kind == "div":
        default = optional(value, "by_zero_default")
        return Expression.Div(_expression(value.left), _expression(value.right), default)
    return Expression.Pow(_expression(value.base), _expression(value.exponent))


def formula(message: pb.Formula) -> edge.Formula:
    return edge.Formula(_expression(message.expression), payload_to_python(message.defaults))
