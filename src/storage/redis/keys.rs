//! How keys are named: the installation's prefix, the use, the rest. docs/REDIS.md has the table.

/// The prefix of an installation, such as `rollcall:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// A prefix; the colon is put behind it.
    pub fn new(name: &str) -> Self {
        Self(format!("{name}:"))
    }

    /// A key under it.
    pub fn key(&self, rest: &str) -> String {
        format!("{}{rest}", self.0)
    }

    /// A pattern for every key that begins so, with the characters that patterns know escaped.
    pub fn pattern(&self, rest: &str) -> String {
        let mut pattern = String::with_capacity(self.0.len() + rest.len() + 1);
        for letter in self.0.chars().chain(rest.chars()) {
            if matches!(letter, '*' | '?' | '[' | ']' | '^' | '\\') {
                pattern.push('\\');
            }
            pattern.push(letter);
        }
        pattern + "*"
    }

    /// The key without the prefix.
    pub fn strip<'a>(&self, key: &'a str) -> Option<&'a str> {
        key.strip_prefix(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_only_what_begins_so() {
        let prefix = Prefix::new("roll*call");
        assert_eq!(prefix.pattern("a?b"), "roll\\*call:a\\?b*");
        assert_eq!(prefix.strip(&prefix.key("lock:x")), Some("lock:x"));
        assert_eq!(prefix.strip("other:lock:x"), None);
    }
}
