// SPDX-License-Identifier: Apache-2.0
//! The sender's language, a member of every header. Source: wire.md 1.4.

/// Language of a peer. Only CPP changes what a server does (the list form of a reset-offset body).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "each name is the whole of its meaning")]
pub enum LanguageCode {
    #[default]
    Java = 0,
    Cpp = 1,
    Dotnet = 2,
    Python = 3,
    Delphi = 4,
    Erlang = 5,
    Ruby = 6,
    Other = 7,
    Http = 8,
    Go = 9,
    Php = 10,
    Oms = 11,
    Rust = 12,
    NodeJs = 13,
}

const ALL: [(LanguageCode, &str); 14] = [
    (LanguageCode::Java, "JAVA"),
    (LanguageCode::Cpp, "CPP"),
    (LanguageCode::Dotnet, "DOTNET"),
    (LanguageCode::Python, "PYTHON"),
    (LanguageCode::Delphi, "DELPHI"),
    (LanguageCode::Erlang, "ERLANG"),
    (LanguageCode::Ruby, "RUBY"),
    (LanguageCode::Other, "OTHER"),
    (LanguageCode::Http, "HTTP"),
    (LanguageCode::Go, "GO"),
    (LanguageCode::Php, "PHP"),
    (LanguageCode::Oms, "OMS"),
    (LanguageCode::Rust, "RUST"),
    (LanguageCode::NodeJs, "NODE_JS"),
];

impl LanguageCode {
    /// The byte of the binary header.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The spelling of the JSON header.
    pub fn name(self) -> &'static str {
        ALL.get(usize::from(self.code()))
            .map_or("OTHER", |(_, name)| name)
    }

    /// The language of a binary header; an unknown byte is [`LanguageCode::Other`].
    pub fn from_code(code: u8) -> Self {
        ALL.get(usize::from(code))
            .map_or(Self::Other, |(language, _)| *language)
    }

    /// The language of a JSON header; an unknown name is [`LanguageCode::Other`].
    pub fn from_name(name: &str) -> Self {
        ALL.iter()
            .find(|(_, known)| *known == name)
            .map_or(Self::Other, |(language, _)| *language)
    }
}
