// SPDX-License-Identifier: Apache-2.0
//! The macro that declares a table of settings.

/// Declares a settings struct: for each key its wire spelling, field, type and default.
macro_rules! keys {
    ($(#[$doc:meta])* pub struct $type:ident {
        $($(#[$field_doc:meta])* $wire:literal $field:ident: $kind:ty = $default:expr,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $type {
            $($(#[$field_doc])* #[doc = concat!("Key `", $wire, "`.")] pub $field: $kind,)*
        }

        impl Default for $type {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $type {
            /// Every key with its present value as text, in alphabetical order; unset ones are left out.
            pub fn entries(&self) -> Vec<(&'static str, String)> {
                let mut entries = Vec::new();
                $(if let Some(text) = $crate::config::Value::text(&self.$field) {
                    entries.push(($wire, text));
                })*
                entries.sort_unstable();
                entries
            }
        }

        impl $crate::config::Settings for $type {
            fn keys(&self) -> &'static [&'static str] {
                &[$($wire,)*]
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
