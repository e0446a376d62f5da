// SPDX-License-Identifier: Apache-2.0
//! A scenario file as words; the README says what they mean.

/// One line: its command, the plain words behind it, and the `name=value` words.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) verb: String,
    pub(crate) words: Vec<String>,
    pub(crate) fields: Vec<(String, String)>,
}

/// The commands of a file with their line numbers.
pub(crate) fn commands(text: &str) -> impl Iterator<Item = (usize, Command)> {
    text.lines()
        .enumerate()
        .filter_map(|(index, line)| Some((index + 1, command(line)?)))
}

fn command(line: &str) -> Option<Command> {
    let mut parts = line.split_whitespace();
    let verb = parts
        .next()
        .filter(|word| !word.starts_with('#'))?
        .to_owned();
    let (mut words, mut fields) = (Vec::new(), Vec::new());
    for part in parts {
        match part.split_once('=') {
            Some((name, value)) => fields.push((name.to_owned(), value.to_owned())),
            None => words.push(part.to_owned()),
        }
    }
    Some(Command {
        verb,
        words,
        fields,
    })
}

#[test]
fn lines_are_taken_apart() {
    let parsed: Vec<_> = commands("# a comment\n\nsend t one tag=A prop.x=y\n").collect();
    let fields = vec![
        ("tag".to_owned(), "A".to_owned()),
        ("prop.x".to_owned(), "y".to_owned()),
    ];
    let words = vec!["t".to_owned(), "one".to_owned()];
    assert_eq!(
        parsed,
        [(
            3,
            Command {
                verb: "send".to_owned(),
                words,
                fields
            }
        )]
    );
}
