//! Setters of public fields, for types that are `#[non_exhaustive]`.

/// Defines a method `with_…` for each field. A method of an `into` field converts its argument.
macro_rules! setters {
    () => {};
    ($method:ident: $field:ident, into $type:ty; $($rest:tt)*) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
        #[must_use]
        pub fn $method(mut self, $field: impl Into<$type>) -> Self {
            self.$field = $field.into();
            self
        }
        $crate::setters::setters! { $($rest)* }
    };
    ($method:ident: $field:ident, $type:ty; $($rest:tt)*) => {
        #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
        #[must_use]
        pub fn $method(mut self, $field: $type) -> Self {
            self.$field = $field;
            self
        }
        $crate::setters::setters! { $($rest)* }
    };
}

pub(crate) use setters;
