// SPDX-License-Identifier: Apache-2.0
//! The macro that declares a table of settings.

/// What a change over the network reaches, by the word after a default.
macro_rules! reach {
    () => {
        $crate::config::Reach::Restart
    };
    (live) => {
        $crate::config::Reach::Live
    };
    (local) => {
        $crate::config::Reach::Local
    };
}
pub(super) use reach;

/// Declares a settings struct: for each key its wire spelling, field, type and default.
///
/// A key may end in `=> live`: it is read whenever it counts, so a change over the network takes effect at once. Or in
/// `=> local`: it can not be changed over the network. Others can, and take effect at the next start.
macro_rules! keys {
    ($(#[$doc:meta])* pub struct $type:ident {
        $($(#[$field_doc:meta])* $wire:literal $field:ident: $kind:ty = $default:expr $(=> $reach:ident)?,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $type {
            $($(#[$field_doc])* #[doc = concat!("Key `", $wire, "`.")] pub $field: $kind,)*
        }

        impl Default for $type {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $crate::config::Settings for $type {
            fn keys(&self) -> &'static [&'static str] {
                &[$($wire,)*]
            }

            fn reach(&self, key: &str) -> Option<$crate::config::Reach> {
                match key {
                    $($wire => Some($crate::config::keys::reach!($($reach)?)),)*
                    _ => None,
                }
            }

            fn all(&self) -> Vec<(&'static str, Option<String>)> {
                let mut all = vec![$(($wire, $crate::config::Value::text(&self.$field)),)*];
                all.sort_unstable();
                all
            }

            fn set(&mut self, key: &str, value: &str) -> Result<bool, $crate::config::ConfigError> {
                match key {
                    $($wire => {
                        self.$field = $crate::config::Value::parse(value).map_err(
                            |$crate::config::SettingError(allowed)| {
                                $crate::config::ConfigError::invalid(key, value, allowed)
                            },
                        )?;
                        Ok(true)
                    })*
                    _ => Ok(false),
                }
            }
        }
    };
}
pub(super) use keys;
