// SPDX-License-Identifier: Apache-2.0
//! The tree of a compiled expression and the rules of which trees are legal (server.md 10.3).

use super::value::Value;

/// A constant that is not null.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Text(Box<str>),
    Integer(i32),
    Long(i64),
    Double(f64),
    Boolean(bool),
}

impl Literal {
    pub(super) fn value(&self) -> Value<'_> {
        match self {
            Self::Text(text) => Value::Text(text),
            Self::Integer(number) => Value::Integer(*number),
            Self::Long(number) => Value::Long(*number),
            Self::Double(number) => Value::Double(*number),
            Self::Boolean(answer) => Value::Boolean(*answer),
        }
    }
}

/// Comparisons by order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
}

/// Where a text is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Search {
    Anywhere,
    Start,
    End,
}

/// A part of an expression.
#[derive(Debug, PartialEq)]
pub(super) enum Node {
    /// A constant; `None` is NULL.
    Constant(Option<Literal>),
    /// A property of the message.
    Property(Box<str>),
    /// A property where a truth value is wanted.
    Cast(Box<Self>),
    Negate(Box<Self>),
    Not(Box<Self>),
    And(Vec<Self>),
    Or(Vec<Self>),
    Equal(Box<Self>, Box<Self>),
    Order(Order, Box<Self>, Box<Self>),
    Between {
        is_negated: bool,
        value: Box<Self>,
        low: Box<Self>,
        high: Box<Self>,
    },
    Search {
        is_negated: bool,
        place: Search,
        value: Box<Self>,
        text: Box<str>,
    },
    In {
        is_negated: bool,
        name: Box<str>,
        members: Vec<Box<str>>,
    },
}

impl Node {
    /// Whether it yields a truth value.
    pub(super) const fn is_boolean(&self) -> bool {
        !matches!(
            self,
            Self::Constant(Some(
                Literal::Text(_) | Literal::Integer(_) | Literal::Long(_) | Literal::Double(_)
            )) | Self::Property(_)
                | Self::Negate(_)
        )
    }

    const fn is_constant(&self) -> bool {
        matches!(self, Self::Constant(_))
    }

    /// As an operand of AND, OR and NOT, and as the whole: a property is cast.
    pub(super) fn into_boolean(self) -> Result<Self, String> {
        match self {
            Self::Property(_) => Ok(Self::Cast(Box::new(self))),
            boolean if boolean.is_boolean() => Ok(boolean),
            _ => Err("a truth value is expected here, such as a comparison or TRUE".to_owned()),
        }
    }

    pub(super) fn equal(left: Self, right: Self) -> Result<Self, String> {
        for side in [&left, &right] {
            if matches!(side, Self::Constant(None)) {
                return Err("NULL can not be compared, write IS NULL or IS NOT NULL".to_owned());
            }
        }
        let constants = left.is_constant() && right.is_constant();
        if constants && left.is_boolean() && !right.is_boolean() {
            return Err("TRUE and FALSE can only be compared with truth values".to_owned());
        }
        Ok(Self::Equal(Box::new(left), Box::new(right)))
    }

    /// IS NULL; anything may be asked.
    pub(super) fn null_check(self) -> Self {
        Self::Equal(Box::new(self), Box::new(Self::Constant(None)))
    }

    pub(super) fn order(order: Order, left: Self, right: Self) -> Result<Self, String> {
        left.check_ordered()?;
        right.check_ordered()?;
        Ok(Self::Order(order, Box::new(left), Box::new(right)))
    }

    pub(super) fn between(
        is_negated: bool,
        value: Self,
        low: Self,
        high: Self,
    ) -> Result<Self, String> {
        if let (false, Self::Constant(from), Self::Constant(to)) = (is_negated, &low, &high) {
            let (Some(from), Some(to)) = (from, to) else {
                return Err("the bounds of BETWEEN can not be NULL".to_owned());
            };
            match to.value().compare(from.value()) {
                Ok(order) if order.is_ge() => {}
                _ => return Err("the bounds of BETWEEN have to be a lower and a higher".to_owned()),
            }
        }
        for operand in [&value, &low, &high] {
            operand.check_ordered()?;
        }
        Ok(Self::Between {
            is_negated,
            value: Box::new(value),
            low: Box::new(low),
            high: Box::new(high),
        })
    }

    pub(super) fn membership(
        self,
        is_negated: bool,
        members: Vec<Box<str>>,
    ) -> Result<Self, String> {
        match self {
            Self::Property(name) => Ok(Self::In {
                is_negated,
                name,
                members,
            }),
            _ => Err("IN needs the name of a property before it".to_owned()),
        }
    }

    /// As an operand of `<`, `<=`, `>`, `>=` and BETWEEN.
    fn check_ordered(&self) -> Result<(), String> {
        let is_number = match self {
            Self::Constant(Some(literal)) => literal.value().is_number(),
            Self::Constant(None) => false,
            _ => !self.is_boolean(),
        };
        if is_number {
            Ok(())
        } else {
            Err("only numbers and properties can be compared by < <= > >= and BETWEEN".to_owned())
        }
    }
}
