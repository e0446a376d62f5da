// SPDX-License-Identifier: Apache-2.0
//! Words to tree, by recursive descent over the grammar of server.md 10.3.
//!
//! One word is looked at beyond what belongs to the expression: it has to be a word, but which one is not asked, so
//! `a = 1 b` is `a = 1`. The reference's parser does not ask for the end of the text either.

use super::expression::{Literal, Node, Order, Search};
use super::lexer::{Lexer, Token};
use super::{CompileError, MAX_BYTES, MAX_DEPTH};

/// Compiles a whole text.
pub(super) fn parse(text: &str) -> Result<Node, CompileError> {
    if text.len() > MAX_BYTES {
        let reason = format!("it is {} bytes long, allowed: {MAX_BYTES}", text.len());
        return Err(CompileError { at: 0, reason });
    }
    let mut lexer = Lexer::new(text);
    let token = lexer.next()?;
    let mut parser = Parser {
        lexer,
        token,
        at: 0,
        nesting: 0,
    };
    let whole = parser.or().and_then(|whole| parser.boolean(whole));
    whole.map(|part| *part.node).map_err(|wrong| *wrong)
}

/// Boxed, as the part is: the parser recurses, and its frames hold many of both.
type Wrong = Box<CompileError>;

/// A part with its depth, so that no tree is deeper than evaluation may recurse.
struct Part {
    node: Box<Node>,
    depth: usize,
}

struct Parser<'a> {
    lexer: Lexer<'a>,
    /// The next word.
    token: Token<'a>,
    /// Where the word before it ended, bytes from the start.
    at: usize,
    nesting: usize,
}

impl<'a> Parser<'a> {
    fn advance(&mut self) -> Result<Token<'a>, Wrong> {
        self.at = self.lexer.at();
        let next = self.lexer.next().map_err(Box::new)?;
        Ok(std::mem::replace(&mut self.token, next))
    }

    fn wrong(&self, reason: impl Into<String>) -> Wrong {
        Box::new(CompileError {
            at: self.at,
            reason: reason.into(),
        })
    }

    fn expected(&self, what: &str) -> Wrong {
        self.wrong(format!("expected {what}, found {}", describe(self.token)))
    }

    fn expect(&mut self, token: Token<'_>, what: &str) -> Result<(), Wrong> {
        if self.token != token {
            return Err(self.expected(what));
        }
        self.advance().map(|_| ())
    }

    /// Whether the next word is `token`, which then is taken.
    fn take(&mut self, token: Token<'_>) -> Result<bool, Wrong> {
        let is_next = self.token == token;
        if is_next {
            self.advance()?;
        }
        Ok(is_next)
    }

    /// A part made of others, the deepest of which has `depth`.
    fn part(&self, node: Result<Node, String>, depth: usize) -> Result<Part, Wrong> {
        let depth = depth + 1;
        if depth > MAX_DEPTH {
            return Err(self.too_deep());
        }
        let node = node.map_err(|reason| self.wrong(reason))?;
        Ok(Part {
            node: Box::new(node),
            depth,
        })
    }

    fn too_deep(&self) -> Wrong {
        self.wrong(format!("it is nested deeper than {MAX_DEPTH}"))
    }

    fn boolean(&self, part: Part) -> Result<Part, Wrong> {
        if part.node.is_boolean() {
            return Ok(part);
        }
        self.part((*part.node).into_boolean(), part.depth)
    }

    fn or(&mut self) -> Result<Part, Wrong> {
        let first = self.and()?;
        if self.token != Token::Or {
            return Ok(first);
        }
        let first = self.boolean(first)?;
        let (mut parts, mut depth) = (vec![*first.node], first.depth);
        while self.take(Token::Or)? {
            let next = self.and()?;
            let next = self.boolean(next)?;
            parts.push(*next.node);
            depth = depth.max(next.depth);
        }
        self.part(Ok(Node::Or(parts)), depth)
    }

    fn and(&mut self) -> Result<Part, Wrong> {
        let first = self.equality()?;
        if self.token != Token::And {
            return Ok(first);
        }
        let first = self.boolean(first)?;
        let (mut parts, mut depth) = (vec![*first.node], first.depth);
        while self.take(Token::And)? {
            let next = self.equality()?;
            let next = self.boolean(next)?;
            parts.push(*next.node);
            depth = depth.max(next.depth);
        }
        self.part(Ok(Node::And(parts)), depth)
    }

    fn equality(&mut self) -> Result<Part, Wrong> {
        let mut left = self.comparison()?;
        loop {
            left = match self.token {
                Token::Equal | Token::NotEqual => {
                    let is_negated = self.advance()? == Token::NotEqual;
                    let right = self.comparison()?;
                    let node = Node::equal(*left.node, *right.node);
                    let equal = self.part(node, left.depth.max(right.depth))?;
                    self.negated_if(is_negated, equal)?
                }
                Token::Is => {
                    self.advance()?;
                    let is_negated = self.take(Token::Not)?;
                    self.expect(Token::Null, "NULL")?;
                    let is_null = self.part(Ok((*left.node).null_check()), left.depth)?;
                    self.negated_if(is_negated, is_null)?
                }
                _ => return Ok(left),
            };
        }
    }

    fn negated_if(&self, is_negated: bool, part: Part) -> Result<Part, Wrong> {
        if is_negated {
            self.part(Ok(Node::Not(part.node)), part.depth)
        } else {
            Ok(part)
        }
    }

    fn comparison(&mut self) -> Result<Part, Wrong> {
        let mut left = self.unary()?;
        loop {
            let order = match self.token {
                Token::Greater => Some(Order::Greater),
                Token::GreaterEqual => Some(Order::GreaterEqual),
                Token::Less => Some(Order::Less),
                Token::LessEqual => Some(Order::LessEqual),
                Token::Not
                | Token::Contains
                | Token::StartsWith
                | Token::EndsWith
                | Token::Between
                | Token::In => None,
                _ => return Ok(left),
            };
            left = if let Some(order) = order {
                self.advance()?;
                let right = self.unary()?;
                let node = Node::order(order, *left.node, *right.node);
                self.part(node, left.depth.max(right.depth))?
            } else {
                let is_negated = self.take(Token::Not)?;
                self.predicate(left, is_negated)?
            };
        }
    }

    /// What can follow a value, with or without NOT.
    fn predicate(&mut self, value: Part, is_negated: bool) -> Result<Part, Wrong> {
        let place = match self.token {
            Token::Contains => Search::Anywhere,
            Token::StartsWith => Search::Start,
            Token::EndsWith => Search::End,
            Token::Between => {
                self.advance()?;
                let low = self.unary()?;
                self.expect(Token::And, "AND and the upper bound of BETWEEN")?;
                let high = self.unary()?;
                let depth = value.depth.max(low.depth).max(high.depth);
                let node = Node::between(is_negated, *value.node, *low.node, *high.node);
                return self.part(node, depth);
            }
            Token::In => {
                self.advance()?;
                self.expect(Token::Open, "( and the texts of IN")?;
                let mut members = vec![self.text()?];
                while self.take(Token::Comma)? {
                    members.push(self.text()?);
                }
                self.expect(Token::Close, ") after the texts of IN")?;
                return self.part((*value.node).membership(is_negated, members), value.depth);
            }
            _ => {
                let what = "CONTAINS, STARTSWITH, ENDSWITH, BETWEEN or IN after NOT";
                return Err(self.expected(what));
            }
        };
        self.advance()?;
        let text = self.text()?;
        let node = Node::Search {
            is_negated,
            place,
            value: value.node,
            text,
        };
        self.part(Ok(node), value.depth)
    }

    fn unary(&mut self) -> Result<Part, Wrong> {
        self.nesting += 1;
        if self.nesting > MAX_DEPTH {
            return Err(self.too_deep());
        }
        let part = match self.token {
            Token::Plus => {
                self.advance()?;
                self.unary()
            }
            Token::Minus => {
                self.advance()?;
                let inner = self.unary()?;
                self.part(Ok(Node::Negate(inner.node)), inner.depth)
            }
            Token::Not => {
                self.advance()?;
                let inner = self.unary()?;
                let inner = self.boolean(inner)?;
                self.part(Ok(Node::Not(inner.node)), inner.depth)
            }
            Token::Open => {
                self.advance()?;
                let inner = self.or()?;
                self.expect(Token::Close, ")")?;
                Ok(inner)
            }
            _ => self.primary(),
        }?;
        self.nesting -= 1;
        Ok(part)
    }

    fn primary(&mut self) -> Result<Part, Wrong> {
        let literal = |literal| Ok(Node::Constant(Some(literal)));
        let node = match self.token {
            Token::Text(raw) => literal(Literal::Text(unquoted(raw))),
            Token::Integer(digits) => integer(digits).and_then(literal),
            Token::Float(text) => float(text).and_then(literal),
            Token::True => literal(Literal::Boolean(true)),
            Token::False => literal(Literal::Boolean(false)),
            Token::Null => Ok(Node::Constant(None)),
            Token::Name(name) => Ok(Node::Property(name.into())),
            _ => return Err(self.expected("a property, a constant, NOT or (")),
        };
        let part = self.part(node, 0)?;
        self.advance()?;
        Ok(part)
    }

    fn text(&mut self) -> Result<Box<str>, Wrong> {
        let Token::Text(raw) = self.token else {
            return Err(self.expected("a text in single quotes"));
        };
        self.advance()?;
        Ok(unquoted(raw))
    }
}

fn unquoted(raw: &str) -> Box<str> {
    raw.replace("''", "'").into()
}

/// An integer of 32 bits if it fits, else of 64.
fn integer(digits: &str) -> Result<Literal, String> {
    let number: i64 = digits
        .trim_end_matches(['l', 'L'])
        .parse()
        .map_err(|_| format!("{digits} is out of range, allowed: up to {}", i64::MAX))?;
    Ok(i32::try_from(number).map_or(Literal::Long(number), Literal::Integer))
}

/// Zero and what is rounded to it or to infinity is refused, as the reference does.
fn float(text: &str) -> Result<Literal, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number.is_finite() => Ok(Literal::Double(number)),
        _ => Err(format!(
            "{text} is out of range, allowed: {:e} to {:e}; write 0 for zero",
            f64::from_bits(1),
            f64::MAX
        )),
    }
}

fn describe(token: Token<'_>) -> String {
    match token {
        Token::End => "the end".to_owned(),
        Token::Name(text) | Token::Integer(text) | Token::Float(text) => format!("'{text}'"),
        Token::Text(text) => format!("the text '{text}'"),
        other => format!("{other:?}"),
    }
}
