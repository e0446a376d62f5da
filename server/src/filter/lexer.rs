// SPDX-License-Identifier: Apache-2.0
//! The words of an expression. They are cut on demand: what the parser does not ask for is not looked at.

use super::CompileError;

/// A word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Not,
    And,
    Or,
    Between,
    In,
    True,
    False,
    Null,
    Is,
    Contains,
    StartsWith,
    EndsWith,
    /// Digits, and perhaps an `l`.
    Integer(&'a str),
    Float(&'a str),
    /// What stands between the quotes, quotes in it still doubled.
    Text(&'a str),
    Name(&'a str),
    Equal,
    NotEqual,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    Open,
    Comma,
    Close,
    Plus,
    Minus,
    End,
}

const RESERVED: [(&str, Token<'static>); 12] = [
    ("NOT", Token::Not),
    ("AND", Token::And),
    ("OR", Token::Or),
    ("BETWEEN", Token::Between),
    ("IN", Token::In),
    ("TRUE", Token::True),
    ("FALSE", Token::False),
    ("NULL", Token::Null),
    ("IS", Token::Is),
    ("CONTAINS", Token::Contains),
    ("STARTSWITH", Token::StartsWith),
    ("ENDSWITH", Token::EndsWith),
];

/// Two-character signs stand before the one-character signs that they begin with.
const SIGNS: [(&str, Token<'static>); 11] = [
    ("<>", Token::NotEqual),
    (">=", Token::GreaterEqual),
    ("<=", Token::LessEqual),
    ("=", Token::Equal),
    (">", Token::Greater),
    ("<", Token::Less),
    ("(", Token::Open),
    (",", Token::Comma),
    (")", Token::Close),
    ("+", Token::Plus),
    ("-", Token::Minus),
];

/// Cuts a text into words.
#[derive(Clone, Debug)]
pub(super) struct Lexer<'a> {
    rest: &'a str,
    length: usize,
}

impl<'a> Lexer<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self {
            rest: text,
            length: text.len(),
        }
    }

    /// Bytes before what was not yet cut.
    pub(super) const fn at(&self) -> usize {
        self.length - self.rest.len()
    }

    /// The next word.
    pub(super) fn next(&mut self) -> Result<Token<'a>, CompileError> {
        self.skip();
        let Some(first) = self.rest.chars().next() else {
            return Ok(Token::End);
        };
        if first == '\'' {
            return self.text();
        }
        if first.is_ascii_digit() || first == '.' {
            return self.number();
        }
        if first.is_ascii_alphabetic() || first == '_' || first == '$' {
            let word = self.take_while(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$');
            let reserved = RESERVED
                .iter()
                .find(|(name, _)| word.eq_ignore_ascii_case(name));
            return Ok(reserved.map_or(Token::Name(word), |(_, token)| *token));
        }
        for (sign, token) in SIGNS {
            if let Some(rest) = self.rest.strip_prefix(sign) {
                self.rest = rest;
                return Ok(token);
            }
        }
        Err(self.unexpected(first))
    }

    fn unexpected(&self, character: char) -> CompileError {
        let allowed = "names, numbers, 'texts', ( ) , + - = <> < <= > >=";
        CompileError {
            at: self.at(),
            reason: format!("unexpected character {character:?}, allowed: {allowed}"),
        }
    }

    /// Leaves out blanks and comments. A line comment without its line's end is none: its dashes are minus signs.
    fn skip(&mut self) {
        loop {
            let before = self.rest.len();
            self.rest = self
                .rest
                .trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']);
            let comment = if self.rest.starts_with("--") {
                self.rest.split_once(['\n', '\r'])
            } else {
                let inside = self.rest.strip_prefix("/*");
                inside.and_then(|inside| inside.split_once("*/"))
            };
            if let Some((_, rest)) = comment {
                self.rest = rest;
            }
            if self.rest.len() == before {
                return;
            }
        }
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        self.take(end)
    }

    fn text(&mut self) -> Result<Token<'a>, CompileError> {
        let at = self.at();
        let mut end = 1;
        loop {
            let quote = self.rest.get(end..).and_then(|rest| rest.find('\''));
            let Some(quote) = quote.map(|quote| end + quote) else {
                let reason = "a text begins here, its closing ' is missing".to_owned();
                return Err(CompileError { at, reason });
            };
            end = quote + 1;
            if self
                .rest
                .get(end..)
                .is_some_and(|rest| rest.starts_with('\''))
            {
                end += 1;
            } else {
                let text = self.take(end);
                return Ok(Token::Text(text.get(1..end - 1).unwrap_or_default()));
            }
        }
    }

    fn number(&mut self) -> Result<Token<'a>, CompileError> {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let after = |at: usize| self.rest.get(at..).unwrap_or_default();
        let whole = digits(self.rest);
        let mut end = whole;
        let mut is_float = false;
        if after(end).starts_with('.') {
            let fraction = digits(after(end + 1));
            if whole + fraction == 0 {
                return Err(self.unexpected('.'));
            }
            end += 1 + fraction;
            is_float = true;
        }
        if let Some(exponent) = after(end).strip_prefix(['e', 'E']) {
            let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            let magnitude = digits(unsigned);
            if magnitude > 0 {
                end += 1 + (exponent.len() - unsigned.len()) + magnitude;
                is_float = true;
            }
        }
        if is_float {
            return Ok(Token::Float(self.take(end)));
        }
        if self.rest.starts_with('0') {
            // A zero is a number of its own, whatever follows.
            return Ok(Token::Integer(self.take(1)));
        }
        let suffix = usize::from(after(end).starts_with(['l', 'L']));
        Ok(Token::Integer(self.take(end + suffix)))
    }
}
