// SPDX-License-Identifier: Apache-2.0
//! Which lines there are, which were acknowledged, which arrived, how often, and whether they are still the same bytes.

/// A line as a program reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    pub number: usize,
    pub crc: u32,
}

impl Line {
    /// Reads `number:crc`, the checksum in hexadecimal.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, crc) = text.split_once(':')?;
        Some(Self {
            number: number.parse().ok()?,
            crc: u32::from_str_radix(crc, 16).ok()?,
        })
    }

    /// A share of a sum that does not depend on the order, but on which line holds which bytes.
    fn weight(self) -> u64 {
        (self.number as u64 + 1).wrapping_mul(u64::from(self.crc) | 1 << 32)
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct Entry {
    crc: u32,
    sent: bool,
    arrived: u32,
}

pub struct Ledger {
    lines: Vec<Entry>,
    by_member: Vec<usize>,
    acknowledged: usize,
    arrived: usize,
    expected_sum: u64,
    arrived_sum: u64,
    /// Reports of lines that do not exist.
    strange: usize,
}

impl Ledger {
    /// A line is what ends with a newline, newline included; so no line is empty.
    pub fn new(text: &[u8], limit: Option<usize>) -> Self {
        let mut lines: Vec<Entry> = Vec::new();
        let mut expected_sum = 0u64;
        for (number, line) in text
            .split_inclusive(|b| *b == b'\n')
            .take(limit.unwrap_or(usize::MAX))
            .enumerate()
        {
            let crc = crc32(line);
            expected_sum = expected_sum.wrapping_add(Line { number, crc }.weight());
            lines.push(Entry {
                crc,
                ..Entry::default()
            });
        }
        Self {
            lines,
            by_member: Vec::new(),
            acknowledged: 0,
            arrived: 0,
            expected_sum,
            arrived_sum: 0,
            strange: 0,
        }
    }

    pub fn sent(&mut self, line: Line) {
        match self.lines.get_mut(line.number) {
            Some(entry) if !entry.sent && entry.crc == line.crc => {
                entry.sent = true;
                self.acknowledged += 1;
            }
            _ => self.strange += 1,
        }
    }

    pub fn received(&mut self, member: usize, line: Line) {
        if self.by_member.len() <= member {
            self.by_member.resize(member + 1, 0);
        }
        self.by_member[member] += 1;
        let Some(entry) = self.lines.get_mut(line.number) else {
            self.strange += 1;
            return;
        };
        entry.arrived += 1;
        if entry.arrived == 1 {
            self.arrived += 1;
            self.arrived_sum = self.arrived_sum.wrapping_add(line.weight());
        }
    }

    pub fn expected(&self) -> usize {
        self.lines.len()
    }

    pub fn acknowledged(&self) -> usize {
        self.acknowledged
    }

    /// Different lines that arrived at least once.
    pub fn arrived(&self) -> usize {
        self.arrived
    }

    /// Lines that one member got, repetitions included.
    pub fn by(&self, member: usize) -> usize {
        self.by_member.get(member).copied().unwrap_or_default()
    }

    pub fn lost(&self) -> usize {
        self.lines
            .iter()
            .filter(|l| l.sent && l.arrived == 0)
            .count()
    }

    pub fn duplicated(&self) -> usize {
        self.lines
            .iter()
            .map(|l| l.arrived.saturating_sub(1) as usize)
            .sum()
    }

    pub fn checksums_equal(&self) -> bool {
        self.strange == 0 && self.arrived_sum == self.expected_sum
    }
}

/// CRC-32 as in zlib, the one that all three languages have or can have in a few lines.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    !bytes.iter().fold(!0, |crc, byte| {
        TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize] ^ (crc >> 8)
    })
}

const fn table() -> [u32; 256] {
    let mut table = [0u32; 256];
    let mut i = 0;
    while i < 256 {
        let mut value = i as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 {
                0xedb8_8320 ^ (value >> 1)
            } else {
                value >> 1
            };
            bit += 1;
        }
        table[i] = value;
        i += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"one\ntwo\none\n\nlast";

    fn line(number: usize, text: &[u8]) -> Line {
        Line {
            number,
            crc: crc32(text),
        }
    }

    fn all() -> Vec<Line> {
        TEXT.split_inclusive(|b| *b == b'\n')
            .enumerate()
            .map(|(n, l)| line(n, l))
            .collect()
    }

    #[test]
    fn crc_is_the_usual_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn every_line_once_in_any_order_is_right() {
        let mut ledger = Ledger::new(TEXT, None);
        all().into_iter().for_each(|l| ledger.sent(l));
        all()
            .into_iter()
            .rev()
            .enumerate()
            .for_each(|(i, l)| ledger.received(i % 3, l));
        assert_eq!(
            (ledger.expected(), ledger.acknowledged(), ledger.arrived()),
            (5, 5, 5)
        );
        assert_eq!((ledger.lost(), ledger.duplicated()), (0, 0));
        assert!(ledger.checksums_equal());
        assert_eq!((ledger.by(0), ledger.by(1), ledger.by(2)), (2, 2, 1));
    }

    #[test]
    fn a_lost_line_is_seen_although_an_equal_one_arrived() {
        let mut ledger = Ledger::new(TEXT, None);
        all().into_iter().for_each(|l| ledger.sent(l));
        all()
            .into_iter()
            .filter(|l| l.number != 2)
            .for_each(|l| ledger.received(0, l));
        assert_eq!((ledger.lost(), ledger.duplicated()), (1, 0));
        assert!(!ledger.checksums_equal());
    }

    #[test]
    fn a_repeated_line_is_counted_and_does_not_hide_in_the_checksum() {
        let mut ledger = Ledger::new(TEXT, None);
        all().into_iter().for_each(|l| ledger.sent(l));
        all()
            .into_iter()
            .chain(all().into_iter().take(2))
            .for_each(|l| ledger.received(1, l));
        assert_eq!(
            (ledger.lost(), ledger.duplicated(), ledger.by(1)),
            (0, 2, 7)
        );
        assert!(ledger.checksums_equal());
    }

    #[test]
    fn swapped_or_changed_bytes_are_seen() {
        let mut ledger = Ledger::new(TEXT, None);
        for sent in all() {
            let text: &[u8] = match sent.number {
                0 => b"two\n",
                1 => b"one\n",
                _ => TEXT
                    .split_inclusive(|b| *b == b'\n')
                    .nth(sent.number)
                    .expect("there are as many lines"),
            };
            ledger.received(0, line(sent.number, text));
        }
        assert!(!ledger.checksums_equal());
    }

    #[test]
    fn lines_that_do_not_exist_are_seen() {
        let mut ledger = Ledger::new(TEXT, Some(2));
        assert_eq!(ledger.expected(), 2);
        all()
            .into_iter()
            .take(2)
            .for_each(|l| ledger.received(0, l));
        assert!(ledger.checksums_equal());
        ledger.received(0, line(7, b"x"));
        assert!(!ledger.checksums_equal());
    }

    #[test]
    fn reports_are_read() {
        assert_eq!(
            Line::parse("12:0000ffff"),
            Some(Line {
                number: 12,
                crc: 0xffff
            })
        );
        assert_eq!(Line::parse("12"), None);
        assert_eq!(Line::parse("x:1"), None);
    }
}
