//! Values that an application attaches to a connection, each found by its type.

use std::{any::Any, sync::OnceLock};

/// A list that only grows, so that it is read without a lock. An empty list takes no memory.
#[derive(Default)]
pub(crate) struct Data(OnceLock<Box<Node>>);

struct Node {
    value: Value,
    next: Data,
}

pub(crate) type Value = Box<dyn Any + Send + Sync>;

impl Data {
    /// The value of this type.
    pub(crate) fn get<T: Any>(&self) -> Option<&T> {
        let mut place = self;
        loop {
            let node = place.0.get()?;
            if let Some(value) = node.value.downcast_ref() {
                return Some(value);
            }
            place = &node.next;
        }
    }

    /// Attaches a value, unless there is one of its type. Whether it was attached.
    pub(crate) fn insert(&self, value: Value) -> bool {
        let kind = (*value).type_id();
        let mut node = Box::new(Node { value, next: Self::default() });
        let mut place = self;
        loop {
            match place.0.set(node) {
                Ok(()) => return true,
                Err(back) => node = back,
            }
            let Some(taken) = place.0.get() else { return false };
            if (*taken.value).type_id() == kind {
                return false;
            }
            place = &taken.next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_has_one_value_and_the_first_remains() {
        let data = Data::default();
        assert_eq!(data.get::<u8>(), None);
        assert!(data.insert(Box::new(7_u8)) && data.insert(Box::new("seven")));
        assert!(!data.insert(Box::new(8_u8)) && !data.insert(Box::new("eight")));
        assert_eq!((data.get::<u8>(), data.get::<&str>()), (Some(&7), Some(&"seven")));
        assert_eq!(data.get::<u16>(), None);
    }
}
