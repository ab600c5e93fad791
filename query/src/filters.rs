//! Filters to a predicate: which operators there are, what value each takes, and how many may be asked.
//!
//! A filter that can't be understood is refused, never left out: left out of a key's filters it would show what the
//! key must not see. What the tests mean is decided in `judge`.

use protocol::limits::QueryLimits;
use protocol::query::{Filter, GroupOperator, NotOperator};
use protocol::row::Cell;
use protocol::{PropertyPath, Refusal};
use serde_json::Value;

use crate::plan::{Predicate, Test};
use crate::{invalid, shown, value};

/// The operators with a property and a value, for messages.
const OPERATORS: &str = "eq, ne, lt, lte, gt, gte, exists, in, contains, not_contains";

/// Says whether these filters can be planned; for whoever stores them with a key.
///
/// # Errors
/// What [`crate::plan()`] would refuse.
pub fn check_filters(filters: &[Filter], limits: &QueryLimits) -> Result<(), Refusal> {
    predicates(filters, limits).map(drop)
}

/// The filters of JSON: a list of objects, or one object.
pub(crate) fn from_json(json: &Value) -> Result<Vec<Filter>, Refusal> {
    match json {
        Value::Null => Ok(Vec::new()),
        Value::Array(filters) => filters.iter().map(one_from_json).collect(),
        Value::Object(_) => one_from_json(json).map(|filter| vec![filter]),
        _ => Err(invalid("filters must be a list of filters")),
    }
}

/// By hand rather than by serde, so that the message names what is wrong. The depth is that of the JSON, which the
/// parser has bounded.
fn one_from_json(json: &Value) -> Result<Filter, Refusal> {
    let text = |name: &str| json.get(name).and_then(Value::as_str);
    let operator = text("operator").ok_or_else(|| invalid("a filter is an object with a text 'operator'"))?;
    let group = match operator {
        "or" => GroupOperator::Or,
        "and" => GroupOperator::And,
        "not" => {
            let operand = json.get("operand").ok_or_else(|| invalid("filter 'not' needs 'operand', one filter"))?;
            return Ok(Filter::Not { operator: NotOperator::Not, operand: Box::new(one_from_json(operand)?) });
        }
        _ => {
            let property_name = text("property_name")
                .ok_or_else(|| invalid(format!("filter '{}' needs a text 'property_name'", shown(operator))))?;
            let property_value = json
                .get("property_value")
                .ok_or_else(|| invalid(format!("filter '{}' needs 'property_value'", shown(operator))))?;
            return Ok(Filter::Test {
                property_name: property_name.to_owned(),
                operator: operator.to_owned(),
                property_value: property_value.clone(),
            });
        }
    };
    let Some(Value::Array(operands)) = json.get("operands") else {
        return Err(invalid(format!("filter '{operator}' needs 'operands', a list of filters")));
    };
    let operands = operands.iter().map(one_from_json).collect::<Result<_, _>>()?;
    Ok(Filter::Group { operator: group, operands })
}

/// One predicate per filter; all must hold.
pub(crate) fn predicates(filters: &[Filter], limits: &QueryLimits) -> Result<Vec<Predicate>, Refusal> {
    let mut reading = Reading { limits, tests: 0 };
    filters.iter().map(|filter| reading.predicate(filter, 0)).collect()
}

/// Counts what was read so far, through all groups.
struct Reading<'a> {
    limits: &'a QueryLimits,
    tests: usize,
}

impl Reading<'_> {
    fn predicate(&mut self, filter: &Filter, depth: usize) -> Result<Predicate, Refusal> {
        match filter {
            Filter::Test { property_name, operator, property_value } => {
                self.tests += 1;
                if self.tests > self.limits.filters_max {
                    return Err(invalid(format!("more than {} filters, the limit", self.limits.filters_max)));
                }
                test(property_name, operator, property_value)
            }
            Filter::Not { operand, .. } => {
                let depth = self.deeper(depth)?;
                Ok(Predicate::Not(Box::new(self.predicate(operand, depth)?)))
            }
            Filter::Group { operator, operands } => {
                let depth = self.deeper(depth)?;
                if operands.is_empty() {
                    return Err(invalid("a filter's 'operands' must not be empty"));
                }
                let operands = operands.iter().map(|one| self.predicate(one, depth)).collect::<Result<_, _>>()?;
                Ok(match operator {
                    GroupOperator::Or => Predicate::Any(operands),
                    GroupOperator::And => Predicate::All(operands),
                })
            }
        }
    }

    fn deeper(&self, depth: usize) -> Result<usize, Refusal> {
        if depth >= self.limits.filter_depth_max {
            let max = self.limits.filter_depth_max;
            return Err(invalid(format!("filters are nested in more than {max} groups, the limit")));
        }
        Ok(depth + 1)
    }
}

fn test(name: &str, operator: &str, given: &Value) -> Result<Predicate, Refusal> {
    let path: PropertyPath =
        name.parse().map_err(|error| invalid(format!("filter on property '{}': {error}", shown(name))))?;
    let plain = |test| Ok(Predicate::Test { path: path.clone(), test });
    let negated = |test| Ok(Predicate::Not(Box::new(Predicate::Test { path: path.clone(), test })));
    match operator {
        "eq" => plain(Test::Equals(any_value(operator, given)?)),
        "ne" => negated(Test::Equals(any_value(operator, given)?)),
        "lt" => plain(Test::Less(bound(operator, given)?)),
        "lte" => plain(Test::LessOrEqual(bound(operator, given)?)),
        "gt" => plain(Test::Greater(bound(operator, given)?)),
        "gte" => plain(Test::GreaterOrEqual(bound(operator, given)?)),
        "contains" => plain(Test::Contains(any_value(operator, given)?)),
        "not_contains" => negated(Test::Contains(any_value(operator, given)?)),
        "in" => match given {
            Value::Array(values) => {
                plain(Test::In(values.iter().map(|value| any_value(operator, value)).collect::<Result<_, _>>()?))
            }
            other => Err(wrong_value(operator, "a list", other)),
        },
        "exists" => match (given, given.as_str()) {
            (Value::Bool(true), _) | (_, Some("true")) => plain(Test::Exists),
            (Value::Bool(false), _) | (_, Some("false")) => negated(Test::Exists),
            (other, _) => Err(wrong_value(operator, "true or false", other)),
        },
        "within" | "regex" => {
            Err(invalid(format!("filter operator '{operator}' is not answered yet; there are {OPERATORS}")))
        }
        other => Err(invalid(format!("unknown filter operator '{}'; there are {OPERATORS}", shown(other)))),
    }
}

fn any_value(operator: &str, given: &Value) -> Result<Cell, Refusal> {
    value::from_json(given).ok_or_else(|| wrong_value(operator, "a text, a number, a boolean, null or a list", given))
}

/// What can be less or greater. A whole number beyond 64 bits is compared as the nearest float.
fn bound(operator: &str, given: &Value) -> Result<Cell, Refusal> {
    match given {
        Value::String(text) => Ok(Cell::Text(text.clone())),
        Value::Number(number) => number
            .as_i64()
            .map(Cell::Int)
            .or_else(|| number.as_f64().map(Cell::Float))
            .ok_or_else(|| wrong_value(operator, "a number or a text", given)),
        other => Err(wrong_value(operator, "a number or a text", other)),
    }
}

fn wrong_value(operator: &str, wanted: &str, given: &Value) -> Refusal {
    invalid(format!("filter '{operator}' needs {wanted} as 'property_value', got {}", shown(&given.to_string())))
}
