// SPDX-License-Identifier: Apache-2.0
//! Types of settings: how they are read and what is allowed.

use std::net::IpAddr;
use std::path::PathBuf;

/// What would have been allowed.
#[derive(Debug)]
pub struct SettingError(pub String);

/// A type that a setting can have.
pub trait Value: Sized {
    /// Reads it.
    ///
    /// # Errors
    /// What is allowed.
    fn parse(text: &str) -> Result<Self, SettingError>;

    /// Its text; `None` if it is not set.
    fn text(&self) -> Option<String>;
}

impl Value for String {
    fn parse(text: &str) -> Result<Self, SettingError> {
        if text.chars().any(char::is_control) {
            return Err(SettingError("text without control characters".to_owned()));
        }
        Ok(text.to_owned())
    }

    fn text(&self) -> Option<String> {
        Some(self.clone())
    }
}

impl Value for bool {
    fn parse(text: &str) -> Result<Self, SettingError> {
        match text {
            _ if text.eq_ignore_ascii_case("true") => Ok(true),
            _ if text.eq_ignore_ascii_case("false") => Ok(false),
            _ => Err(SettingError("true, false".to_owned())),
        }
    }

    fn text(&self) -> Option<String> {
        Some(self.to_string())
    }
}

macro_rules! number {
    ($($type:ty),*) => {$(
        impl Value for $type {
            fn parse(text: &str) -> Result<Self, SettingError> {
                text.parse()
                    .map_err(|_| SettingError(format!("whole numbers from {} to {}", Self::MIN, Self::MAX)))
            }

            fn text(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )*};
}
number!(i32, i64, u16, u32, u64, usize);

impl Value for IpAddr {
    fn parse(text: &str) -> Result<Self, SettingError> {
        text.parse()
            .map_err(|_| SettingError("an IP address, such as 127.0.0.1 or 0.0.0.0".to_owned()))
    }

    fn text(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for PathBuf {
    fn parse(text: &str) -> Result<Self, SettingError> {
        if text.is_empty() || text.contains('\0') {
            return Err(SettingError("a directory".to_owned()));
        }
        Ok(Self::from(text))
    }

    fn text(&self) -> Option<String> {
        Some(self.display().to_string())
    }
}

impl<T: Value> Value for Option<T> {
    fn parse(text: &str) -> Result<Self, SettingError> {
        if text.is_empty() {
            return Ok(None);
        }
        T::parse(text).map(Some)
    }

    fn text(&self) -> Option<String> {
        self.as_ref().and_then(Value::text)
    }
}

macro_rules! choice {
    ($(#[$doc:meta])* $type:ident { $($(#[$variant_doc:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $type {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $type {
            /// The reference's spelling.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }

        impl Value for $type {
            fn parse(text: &str) -> Result<Self, SettingError> {
                match text {
                    $($name => Ok(Self::$variant),)*
                    _ => Err(SettingError([$($name),*].join(", "))),
                }
            }

            fn text(&self) -> Option<String> {
                Some(self.name().to_owned())
            }
        }
    };
}

choice! {
    /// When a send is acknowledged.
    FlushDiskType {
        /// Once written; the flush follows.
        Async = "ASYNC_FLUSH",
        /// Once flushed.
        Sync = "SYNC_FLUSH",
    }
}

choice! {
    /// How a group consumes a topic when the broker assigns queues and nobody said otherwise.
    MessageRequestMode {
        /// Its members pull.
        Pull = "PULL",
        /// Its members pop.
        Pop = "POP",
    }
}

choice! {
    /// Part of a broker in its set. Slaves need replication, which this version does not have.
    BrokerRole {
        /// Master that does not wait for slaves.
        AsyncMaster = "ASYNC_MASTER",
        /// Master that waits for slaves.
        SyncMaster = "SYNC_MASTER",
    }
}

/// Hours of the day at which expired files are deleted, such as `04` or `04;16`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteWhen(pub String);

impl Value for DeleteWhen {
    fn parse(text: &str) -> Result<Self, SettingError> {
        let is_hour =
            |part: &str| part.len() <= 2 && part.parse::<u8>().is_ok_and(|hour| hour < 24);
        if text.split(';').all(is_hour) {
            Ok(Self(text.to_owned()))
        } else {
            Err(SettingError(
                "hours from 00 to 23, several separated by ';'".to_owned(),
            ))
        }
    }

    fn text(&self) -> Option<String> {
        Some(self.0.clone())
    }
}
