//! The style of the configuration.

/// A public, extensible struct whose fields have defaults, are readable, and have a setter of the same
/// name each. After `as` is what the setter takes, after `;` what it makes of that. Functions come last.
macro_rules! settings {
    (
        $(#[$doc:meta])*
        $name:ident {
            $(
                $(#[$field_doc:meta])*
                $field:ident: $type:ty as $from:ty = $default:expr; |$given:pat_param| $made:expr,
            )*
        }
        functions {
            $(
                $(#[$function_doc:meta])*
                $function:ident: $alias:ty as $signature:path,
            )*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
            $($(#[$function_doc])* pub $function: Option<$alias>,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* $($function: None,)* }
            }
        }

        impl ::std::fmt::Debug for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.debug_struct(stringify!($name))
                    $(.field(stringify!($field), &self.$field))*
                    $(.field(stringify!($function), &self.$function.as_ref().map(|_| ..)))*
                    .finish()
            }
        }

        impl $name {
            $(
                #[doc = concat!("Sets [`", stringify!($field), "`](Self#structfield.", stringify!($field), ").")]
                #[must_use]
                pub fn $field(mut self, $given: $from) -> Self {
                    self.$field = $made;
                    self
                }
            )*
            $(
                #[doc = concat!("Sets [`", stringify!($function), "`](Self#structfield.", stringify!($function), ").")]
                #[must_use]
                pub fn $function(mut self, function: impl $signature + Send + Sync + 'static) -> Self {
                    self.$function = Some(::std::sync::Arc::new(function));
                    self
                }
            )*
        }
    };
}
pub(super) use settings;
