// SPDX-License-Identifier: Apache-2.0
//! How many tests passed, failed and were skipped, read from what the test runners print.

use std::fmt;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u32,
    pub failed: u32,
    pub skipped: u32,
}

impl Tally {
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

/// Whose summary lines to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// Not a test runner: the command itself is one check.
    None,
    Libtest,
    Pytest,
    NodeTest,
    /// A line for each test: `ok NAME` or `not ok NAME: REASON`.
    OkLines,
}

impl Reader {
    /// The counts in one line of output; nothing when it is not a summary.
    pub fn read(self, line: &str) -> Tally {
        let none = Tally::default();
        match self {
            Self::None => none,
            Self::Libtest if line.contains("test result:") => Tally {
                passed: before(line, " passed;"),
                failed: before(line, " failed;"),
                skipped: before(line, " ignored;"),
            },
            Self::Pytest
                if line.contains(" in ") && line.trim_end_matches(['=', ' ']).ends_with('s') =>
            {
                Tally {
                    passed: before(line, " passed") + before(line, " xfailed"),
                    failed: before(line, " failed") + before(line, " error"),
                    skipped: before(line, " skipped"),
                }
            }
            Self::NodeTest => {
                let line = line.trim_start_matches(['#', '\u{2139}', ' ']);
                let after = |word: &str| {
                    line.strip_prefix(word)
                        .and_then(|n| n.trim().parse().ok())
                        .unwrap_or(0)
                };
                Tally {
                    passed: after("pass "),
                    failed: after("fail ") + after("cancelled "),
                    skipped: after("skipped ") + after("todo "),
                }
            }
            Self::OkLines if line.starts_with("ok ") => Tally { passed: 1, ..none },
            Self::OkLines if line.starts_with("not ok") || line.starts_with("FAILED ") => {
                Tally { failed: 1, ..none }
            }
            _ => none,
        }
    }
}

/// The number directly before `word`, 0 when there is none.
fn before(line: &str, word: &str) -> u32 {
    let Some(at) = line.find(word) else { return 0 };
    let digits = line[..at]
        .rfind(|c: char| !c.is_ascii_digit())
        .map_or(0, |i| i + 1);
    line[digits..at].parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(passed: u32, failed: u32, skipped: u32) -> Tally {
        Tally {
            passed,
            failed,
            skipped,
        }
    }

    #[test]
    fn libtest_summaries_are_read_with_and_without_colour() {
        let line = "test result: ok. 12 passed; 1 failed; 3 ignored; 0 measured; 0 filtered out; finished in 0.10s";
        assert_eq!(Reader::Libtest.read(line), tally(12, 1, 3));
        let line = "test result: \u{1b}[32mok\u{1b}[0m. 7 passed; 0 failed; 0 ignored; 0 measured";
        assert_eq!(Reader::Libtest.read(line), tally(7, 0, 0));
        assert_eq!(Reader::Libtest.read("test a::b ... ok"), tally(0, 0, 0));
    }

    #[test]
    fn pytest_summaries_are_read() {
        assert_eq!(
            Reader::Pytest.read("===== 2 failed, 31 passed, 1 skipped in 4.21s ====="),
            tally(31, 2, 1)
        );
        assert_eq!(
            Reader::Pytest.read("31 passed, 1 error in 4.21s"),
            tally(31, 1, 0)
        );
        assert_eq!(
            Reader::Pytest.read("tests/test_send.py ....  [ 20%]"),
            tally(0, 0, 0)
        );
    }

    #[test]
    fn ok_lines_are_counted() {
        assert_eq!(Reader::OkLines.read("ok tags.scn"), tally(1, 0, 0));
        assert_eq!(
            Reader::OkLines.read("not ok tags.scn: line 3: got a"),
            tally(0, 1, 0)
        );
        assert_eq!(Reader::OkLines.read("# okay"), tally(0, 0, 0));
    }

    #[test]
    fn node_summaries_are_read() {
        let lines = [
            "# tests 9",
            "# pass 7",
            "# fail 1",
            "# skipped 1",
            "\u{2139} pass 2",
        ];
        let mut sum = Tally::default();
        for line in lines {
            sum.add(Reader::NodeTest.read(line));
        }
        assert_eq!(sum, tally(9, 1, 1));
    }
}
