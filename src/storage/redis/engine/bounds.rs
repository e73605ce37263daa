//! The part of an index that a script reads, in the notation of `ZRANGEBYLEX`.

use std::ops::Bound;

use crate::{
    domain::record::{Index, Key},
    ports::{Range, StoreError},
};

/// Separates the key from the ID in a member of an index. It occurs in no key and sorts before all
/// characters of keys, so that members sort by key, then by ID.
const SEPARATOR: char = '\0';

/// The members to read, and the direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bounds {
    low: Bound<String>,
    high: Bound<String>,
    backwards: bool,
}

impl Bounds {
    /// Translates a range. A key without an ID sorts just before the members with this key.
    pub fn new(index: Index, range: &Range) -> Self {
        let text = |key: &Key| key.as_str().to_owned();
        let mut bounds = Self {
            low: range
                .from
                .as_ref()
                .map_or(Bound::Unbounded, |key| Bound::Included(text(key))),
            high: range
                .before
                .as_ref()
                .map_or(Bound::Unbounded, |key| Bound::Excluded(text(key))),
            backwards: range.backwards,
        };
        if let Some((key, id)) = &range.after {
            bounds.continue_after(member(index, key, id));
        }
        bounds
    }

    /// Excludes a member and everything that was read before it.
    pub fn continue_after(&mut self, member: String) {
        let end = match self.backwards {
            true => &mut self.high,
            false => &mut self.low,
        };
        // A cursor before the start of the range changes nothing.
        let inside = match end {
            Bound::Unbounded => true,
            Bound::Included(bound) | Bound::Excluded(bound) => (member < *bound) == self.backwards,
        };
        if inside {
            *end = Bound::Excluded(member);
        }
    }

    /// Returns the lower bound, then the upper one.
    pub fn ascending(&self) -> [String; 2] {
        let notation = |bound: &Bound<String>, open: &str| match bound {
            Bound::Included(member) => format!("[{member}"),
            Bound::Excluded(member) => format!("({member}"),
            Bound::Unbounded => open.to_owned(),
        };
        [notation(&self.low, "-"), notation(&self.high, "+")]
    }

    /// Returns the bounds in the direction of reading, and the command that takes them.
    pub fn select(&self) -> ([String; 2], &'static str) {
        let [low, high] = self.ascending();
        match self.backwards {
            true => ([high, low], "ZREVRANGEBYLEX"),
            false => ([low, high], "ZRANGEBYLEX"),
        }
    }
}

/// Returns the member of an index for a record.
fn member(index: Index, key: &Key, id: &str) -> String {
    if index == Index::ID {
        return id.to_owned();
    }
    format!("{}{SEPARATOR}{id}", key.as_str())
}

/// Returns the ID in a member of an index.
///
/// # Errors
/// [`StoreError::Corrupt`] if the member has no ID.
pub(super) fn id_of(index: Index, member: &str) -> Result<String, StoreError> {
    if index == Index::ID {
        return Ok(member.to_owned());
    }
    let (_, id) = member
        .split_once(SEPARATOR)
        .ok_or_else(|| StoreError::Corrupt("a member of an index without an ID".to_owned()))?;
    Ok(id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: Index = Index::ordered("by_name");

    fn key(text: &str) -> Key {
        Key::from_text(text.to_owned())
    }

    fn after(key: &str, id: &str) -> Option<(Key, String)> {
        Some((Key::from_text(key.to_owned()), id.to_owned()))
    }

    fn bounds(index: Index, range: Range) -> [String; 2] {
        Bounds::new(index, &range).ascending()
    }

    #[test]
    fn an_open_range_is_the_whole_index() {
        assert_eq!(bounds(NAME, Range::all()), ["-", "+"]);
        assert_eq!(bounds(Index::ID, Range::all().backwards()), ["-", "+"]);
    }

    #[test]
    fn a_range_includes_its_first_key_and_excludes_its_last() {
        let range = Range::all().from(key("ann")).before(key("bob"));
        assert_eq!(bounds(NAME, range.clone()), ["[ann", "(bob"]);
        assert_eq!(bounds(Index::ID, range), ["[ann", "(bob"]);
        let within = Range::within(key("ann"));
        assert_eq!(bounds(NAME, within), ["[ann", "(ann\u{2}"]);
        let empty = Range::all().from(key("")).before(key(""));
        assert_eq!(bounds(NAME, empty), ["[", "("]);
    }

    #[test]
    fn a_page_continues_after_the_cursor_in_either_direction() {
        let range = Range::all().from(key("a")).before(key("c"));
        let page = range.clone().after(after("b", "7"));
        assert_eq!(bounds(NAME, page.clone()), ["(b\x007", "(c"]);
        assert_eq!(bounds(NAME, page.backwards()), ["[a", "(b\x007"]);
        // The index of the IDs ignores the key.
        let page = range.after(after("z", "b"));
        assert_eq!(bounds(Index::ID, page.clone()), ["(b", "(c"]);
        assert_eq!(bounds(Index::ID, page.backwards()), ["[a", "(b"]);
    }

    #[test]
    fn a_cursor_before_the_range_changes_nothing_and_one_after_it_empties_it() {
        let range = Range::all().from(key("b")).before(key("d"));
        let (early, late) = (after("a", "9"), after("d", "0"));
        let forwards = |last| bounds(NAME, range.clone().after(last));
        assert_eq!(forwards(early.clone()), ["[b", "(d"]);
        assert_eq!(forwards(late.clone()), ["(d\u{0}0", "(d"]);
        let backwards = |last| bounds(NAME, range.clone().backwards().after(last));
        assert_eq!(backwards(late), ["[b", "(d"]);
        assert_eq!(backwards(early), ["[b", "(a\09"]);
    }

    #[test]
    fn the_bounds_swap_with_the_direction() {
        let range = Range::all().from(key("a")).before(key("c"));
        let select = |range| {
            let (bounds, command) = Bounds::new(NAME, &range).select();
            (bounds.join(" "), command)
        };
        let expected = ("[a (c".to_owned(), "ZRANGEBYLEX");
        assert_eq!(select(range.clone()), expected);
        let expected = ("(c [a".to_owned(), "ZREVRANGEBYLEX");
        assert_eq!(select(range.backwards()), expected);
    }

    #[test]
    fn members_sort_as_key_and_id() {
        let mut places = vec![
            ("", "z"),
            ("a", ""),
            ("a", "\u{1}"),
            ("a", "é"),
            ("a\u{1}", "0"),
            ("a\u{1}b", "0"),
            ("a\u{2}", "0"),
            ("aa", "0"),
            ("z", "1"),
            ("é", "0"),
            ("\u{10ffff}", "0"),
        ];
        assert!(places.is_sorted());
        places.reverse();
        places.sort_by_key(|(text, id)| member(NAME, &key(text), id).into_bytes());
        assert!(places.is_sorted(), "{places:?}");
        // A key alone sorts after all smaller keys with any ID, and before itself with any ID.
        for (text, id) in &places {
            for (other, _) in &places {
                let member = member(NAME, &key(text), id);
                assert_eq!(member.as_str() < *other, text < other, "{text:?} {other:?}");
            }
        }
    }

    #[test]
    fn an_id_can_be_read_from_its_member() {
        for id in ["7", "", "a\0b", "x:by_name"] {
            let member = member(NAME, &key("ann\u{1}b"), id);
            assert_eq!(id_of(NAME, &member).as_deref(), Ok(id));
            assert_eq!(id_of(Index::ID, id).as_deref(), Ok(id));
        }
        assert!(matches!(id_of(NAME, "ann"), Err(StoreError::Corrupt(_))));
    }
}
