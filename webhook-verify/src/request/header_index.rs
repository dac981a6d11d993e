//! Collects the headers of a request that a scheme needs.

use smallvec::SmallVec;

use super::{AmbiguousHeader, RequestHead};
use crate::scheme::Text;

/// The names of the headers to collect, in lower case.
pub(crate) struct Names(Box<[Text]>);

impl Names {
    pub(crate) fn new(names: impl IntoIterator<Item = Text>) -> Self {
        Self(names.into_iter().collect())
    }

    #[inline]
    fn find(&self, name: &str) -> Option<&str> {
        let mut names = self.0.iter().map(|known| &**known);
        names.find(|known| known.eq_ignore_ascii_case(name))
    }
}

/// The headers that a scheme needs, under the scheme's own strings: most lookups compare pointers.
pub(crate) struct Picked<'n, 'a>(SmallVec<[(&'n str, &'a [u8]); 8]>);

impl<'n, 'a> Picked<'n, 'a> {
    /// Collects the headers with these names in one pass.
    #[inline]
    pub(crate) fn new(head: &RequestHead<'a>, names: &'n Names) -> Self {
        let mut picked = Self(SmallVec::new());
        head.headers().visit(&mut |name, value| {
            if let Some(known) = names.find(name) {
                picked.0.push((known, value));
            }
        });
        picked
    }

    /// Returns every value of the header `name`, in order.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let is_it = move |known: &str| std::ptr::eq(known, name) || known == name;
        self.0.iter().filter(move |(known, _)| is_it(known)).map(|(_, value)| *value)
    }

    /// Returns the only value of the header `name`, or `None` if it is absent or empty.
    pub(crate) fn single(&self, name: &str) -> Result<Option<&'a [u8]>, AmbiguousHeader> {
        let mut values = self.all(name);
        let first = values.next();
        match values.next() {
            None => Ok(first.filter(|value| !value.is_empty())),
            Some(_) => Err(AmbiguousHeader),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Names, Picked, RequestHead};

    #[test]
    fn a_picked_header_is_absent_empty_single_or_repeated() {
        let headers = [("A", "1"), ("b", ""), ("C", "1"), ("c", "1"), ("e", "1")];
        let names = Names::new(["a", "b", "c", "d"].map(Into::into));
        let picked = Picked::new(&RequestHead::from(&headers), &names);
        assert!(matches!(picked.single("a"), Ok(Some(b"1"))));
        assert!(matches!(picked.single("b"), Ok(None)));
        assert!(picked.single("c").is_err());
        assert!(matches!(picked.single("d"), Ok(None)));
        assert!(matches!(picked.single("e"), Ok(None)), "not collected");
        assert_eq!(RequestHead::from(&headers).header("a"), Some("1"));
        assert_eq!(RequestHead::from(&headers).header("C"), None);
    }
}
