//! The one style of every set of limits.

use std::time::Duration;

/// A public, extensible struct whose fields have defaults, are readable, and have a setter of the same
/// name each, and whose zeros are found. After `as` is what the setter takes, if not the field's type.
macro_rules! limits {
    (
        $(#[$doc:meta])*
        $name:ident {
            $($(#[$field_doc:meta])* $field:ident: $type:ty $(as $from:ty)? = $default:expr,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $name {
            $(limits!(@setter $field: $type $(as $from)?);)*

            /// Names the first field that is zero.
            fn check_zero(&self) -> Result<(), $crate::ConfigError> {
                use $crate::leaves::limits::style::Bound;
                $(
                    if self.$field.is_zero() {
                        let field = concat!(stringify!($name), "::", stringify!($field));
                        return Err($crate::ConfigError::ZeroLimit { field });
                    }
                )*
                Ok(())
            }
        }
    };
    (@setter $field:ident: $type:ty) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](Self#structfield.", stringify!($field), ").")]
        #[must_use]
        pub fn $field(mut self, $field: $type) -> Self {
            self.$field = $field;
            self
        }
    };
    (@setter $field:ident: $type:ty as $from:ty) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](Self#structfield.", stringify!($field), ").")]
        #[must_use]
        pub fn $field(mut self, $field: $from) -> Self {
            self.$field = $field.into();
            self
        }
    };
}
pub(super) use limits;

/// What bounds something.
pub(super) trait Bound {
    /// Whether it lets nothing through.
    fn is_zero(&self) -> bool;
}

impl Bound for usize {
    fn is_zero(&self) -> bool {
        *self == 0
    }
}

impl Bound for Option<usize> {
    fn is_zero(&self) -> bool {
        *self == Some(0)
    }
}

impl Bound for Option<Duration> {
    fn is_zero(&self) -> bool {
        *self == Some(Duration::ZERO)
    }
}

/// A mode bounds nothing.
impl Bound for bool {
    fn is_zero(&self) -> bool {
        false
    }
}

impl Bound for Duration {
    fn is_zero(&self) -> bool {
        Self::is_zero(self)
    }
}

/// Its fields are looked at one by one: some may be zero.
impl Bound for ws_handshake::Limits {
    fn is_zero(&self) -> bool {
        false
    }
}

/// Names the first field that lets no head through.
pub(super) fn check_head(head: &ws_handshake::Limits) -> Result<(), crate::ConfigError> {
    let sizes = [
        ("HeadLimits::max_head", head.max_head),
        ("HeadLimits::max_headers", head.max_headers),
        ("HeadLimits::max_response_headers", head.max_response_headers),
        ("HeadLimits::max_target", head.max_target),
    ];
    match sizes.into_iter().find(|(_, size)| *size == 0) {
        Some((field, _)) => Err(crate::ConfigError::ZeroLimit { field }),
        None => Ok(()),
    }
}
