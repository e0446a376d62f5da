// SPDX-License-Identifier: Apache-2.0
//! Writes the reference's JSON dialect: integer and object keys without quotes; files indented by tabs.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter};

pub(super) fn compact<T: Serialize>(body: &T) -> Vec<u8> {
    write(body, false)
}

pub(super) fn pretty<T: Serialize>(body: &T) -> Vec<u8> {
    write(body, true)
}

fn write<T: Serialize>(body: &T, pretty: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let dialect = Dialect {
        pretty,
        ..Dialect::default()
    };
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, dialect);
    // Writing plain structures to memory has no way to fail.
    match body.serialize(&mut serializer) {
        Ok(()) => out,
        Err(_) => Vec::new(),
    }
}

#[derive(Default, PartialEq, Eq)]
enum Key {
    /// Not inside a key.
    #[default]
    None,
    /// The key began, its first byte is not yet written.
    Begun,
    /// A quoted key.
    Quoted,
    /// An integer or object key, written bare.
    Bare,
}

#[derive(Default)]
struct Dialect {
    pretty: bool,
    depth: usize,
    empty: bool,
    key: Key,
}

impl Dialect {
    fn line<W: ?Sized + Write>(&self, out: &mut W) -> io::Result<()> {
        if self.pretty {
            out.write_all(b"\n")?;
            for _ in 0..self.depth {
                out.write_all(b"\t")?;
            }
        }
        Ok(())
    }

    fn open_key<W: ?Sized + Write>(&mut self, out: &mut W, bare: bool) -> io::Result<()> {
        if self.key == Key::Begun {
            self.key = if bare { Key::Bare } else { Key::Quoted };
            if !bare {
                out.write_all(b"\"")?;
            }
        }
        Ok(())
    }

    fn number<W: ?Sized + Write>(&mut self, out: &mut W, text: &str) -> io::Result<()> {
        self.open_key(out, true)?;
        out.write_all(text.as_bytes())
    }
}

impl Formatter for Dialect {
    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.depth += 1;
        self.empty = true;
        out.write_all(b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.depth = self.depth.saturating_sub(1);
        if !self.empty {
            self.line(out)?;
        }
        self.empty = false;
        out.write_all(b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.empty = false;
        self.key = Key::Begun;
        if !first {
            out.write_all(b",")?;
        }
        self.line(out)
    }

    fn begin_string<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        if self.key == Key::None {
            out.write_all(b"\"")
        } else {
            Ok(())
        }
    }

    fn end_string<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.open_key(out, false)?;
        match std::mem::take(&mut self.key) {
            Key::Bare => Ok(()),
            _ => out.write_all(b"\""),
        }
    }

    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        text: &str,
    ) -> io::Result<()> {
        self.open_key(out, text.starts_with('{'))?;
        out.write_all(text.as_bytes())
    }

    fn write_char_escape<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        self.open_key(out, false)?;
        match (&self.key, &escape) {
            (Key::Bare, CharEscape::Quote) => out.write_all(b"\""),
            (Key::Bare, CharEscape::ReverseSolidus) => out.write_all(b"\\"),
            _ => serde_json::ser::CompactFormatter.write_char_escape(out, escape),
        }
    }

    fn write_i32<W: ?Sized + Write>(&mut self, out: &mut W, value: i32) -> io::Result<()> {
        self.number(out, itoa::Buffer::new().format(value))
    }

    fn write_i64<W: ?Sized + Write>(&mut self, out: &mut W, value: i64) -> io::Result<()> {
        self.number(out, itoa::Buffer::new().format(value))
    }

    fn write_u64<W: ?Sized + Write>(&mut self, out: &mut W, value: u64) -> io::Result<()> {
        self.number(out, itoa::Buffer::new().format(value))
    }
}
