// SPDX-License-Identifier: Apache-2.0
//! Evaluation over the properties of a message with three truth values; `None` is null, or unknown (server.md 10.4).

use kerolox_protocol::message::properties;

use super::expression::{Node, Order, Search};
use super::number;
use super::value::{Incomparable, Value};

type Outcome<'a> = Result<Option<Value<'a>>, Incomparable>;

impl Node {
    pub(super) fn evaluate<'a>(&'a self, properties: &'a str) -> Outcome<'a> {
        match self {
            Self::Constant(literal) => Ok(literal.as_ref().map(|literal| literal.value())),
            Self::Property(name) => Ok(properties::find(properties, name).map(Value::Text)),
            Self::Cast(inner) => {
                let value = inner.evaluate(properties)?;
                Ok(value.map(|value| Value::Boolean(value == Value::Boolean(true))))
            }
            Self::Negate(inner) => Ok(inner.evaluate(properties)?.and_then(negate)),
            Self::Not(inner) => boolean(inner.truth(properties)?.map(|answer| !answer)),
            Self::And(parts) => boolean(decide(parts, properties, false)?),
            Self::Or(parts) => boolean(decide(parts, properties, true)?),
            Self::Equal(left, right) => {
                let (left, right) = (left.evaluate(properties)?, right.evaluate(properties)?);
                boolean(match (left, right) {
                    (Some(left), Some(right)) => Some(left.compare(right)?.is_eq()),
                    (None, None) => Some(true),
                    (None, Some(_)) => None,
                    (Some(_), None) => Some(false),
                })
            }
            Self::Order(order, left, right) => boolean(in_order(
                left.evaluate(properties)?,
                *order,
                right,
                properties,
            )?),
            Self::Between {
                is_negated,
                value,
                low,
                high,
            } => boolean(between(*is_negated, value, low, high, properties)?),
            Self::Search {
                is_negated,
                place,
                value,
                text,
            } => {
                let value = value.evaluate(properties)?;
                boolean(Some(match value {
                    Some(Value::Text(value)) if !text.is_empty() => {
                        place.has(value, text) != *is_negated
                    }
                    // Also of the negated forms.
                    _ => false,
                }))
            }
            Self::In {
                is_negated,
                name,
                members,
            } => {
                let value = properties::find(properties, name);
                boolean(
                    value.map(|value| {
                        members.iter().any(|member| **member == *value) != *is_negated
                    }),
                )
            }
        }
    }

    /// The truth value of a part that yields one.
    fn truth(&self, properties: &str) -> Result<Option<bool>, Incomparable> {
        Ok(match self.evaluate(properties)? {
            Some(Value::Boolean(answer)) => Some(answer),
            _ => None,
        })
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "every arm of the evaluation ends with it"
)]
fn boolean<'a>(answer: Option<bool>) -> Outcome<'a> {
    Ok(answer.map(Value::Boolean))
}

/// AND (`decisive` is false) and OR (true): the first decisive part decides and what follows it is not evaluated.
fn decide(parts: &[Node], properties: &str, decisive: bool) -> Result<Option<bool>, Incomparable> {
    let mut answer = Some(!decisive);
    for part in parts {
        match part.truth(properties)? {
            Some(part) if part == decisive => return Ok(Some(decisive)),
            Some(_) => {}
            None => answer = None,
        }
    }
    Ok(answer)
}

fn negate(value: Value<'_>) -> Option<Value<'_>> {
    match value {
        Value::Integer(number) => Some(Value::Integer(number.wrapping_neg())),
        Value::Long(number) => Some(Value::Long(number.wrapping_neg())),
        Value::Double(number) => Some(Value::Double(-number)),
        Value::Text(_) | Value::Boolean(_) => None,
    }
}

/// The right side is evaluated only if the left is not null.
fn in_order(
    left: Option<Value<'_>>,
    order: Order,
    right: &Node,
    properties: &str,
) -> Result<Option<bool>, Incomparable> {
    let Some(left) = left else { return Ok(None) };
    let Some(right) = right.evaluate(properties)? else {
        return Ok(None);
    };
    let found = match (left, right) {
        // Texts have no order of their own, they have to be numbers.
        (Value::Text(left), Value::Text(right)) => {
            let number = |text| number::double(text).map(Value::Double).ok_or(Incomparable);
            number(left)?.compare(number(right)?)?
        }
        (left, right) => left.compare(right)?,
    };
    Ok(Some(match order {
        Order::Greater => found.is_gt(),
        Order::GreaterEqual => found.is_ge(),
        Order::Less => found.is_lt(),
        Order::LessEqual => found.is_le(),
    }))
}

/// `value >= low AND value <= high`, negated `value < low OR value > high`.
fn between(
    is_negated: bool,
    value: &Node,
    low: &Node,
    high: &Node,
    properties: &str,
) -> Result<Option<bool>, Incomparable> {
    let (from, to) = if is_negated {
        (Order::Less, Order::Greater)
    } else {
        (Order::GreaterEqual, Order::LessEqual)
    };
    let value = value.evaluate(properties)?;
    let first = in_order(value, from, low, properties)?;
    if first == Some(is_negated) {
        return Ok(first);
    }
    let second = in_order(value, to, high, properties)?;
    Ok(if second == Some(is_negated) {
        second
    } else {
        first.and(second)
    })
}

impl Search {
    fn has(self, value: &str, text: &str) -> bool {
        match self {
            Self::Anywhere => value.contains(text),
            Self::Start => value.starts_with(text),
            Self::End => value.ends_with(text),
        }
    }
}
