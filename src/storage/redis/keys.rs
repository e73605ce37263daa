//! How keys are named: the installation's prefix, the use, the rest. docs/REDIS.md has the table.

/// The prefix of an installation, such as `rollcall:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// Makes a prefix of a name and a colon.
    pub fn new(name: &str) -> Self {
        Self(format!("{name}:"))
    }

    /// Returns a key under the prefix.
    pub fn key(&self, rest: &str) -> String {
        format!("{}{rest}", self.0)
    }

    /// Returns a pattern for every key that begins with the prefix and `rest`, literally.
    pub fn pattern(&self, rest: &str) -> String {
        escaped(&self.key(rest)) + "*"
    }

    /// Returns a pattern for the keys under the prefix that match another pattern.
    pub fn glob(&self, pattern: &str) -> String {
        escaped(&self.0) + pattern
    }

    /// Returns the key without the prefix.
    pub fn strip<'a>(&self, key: &'a str) -> Option<&'a str> {
        key.strip_prefix(&self.0)
    }
}

/// Escapes the characters that have a meaning in patterns.
fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 1);
    for letter in text.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '^' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_glob_has_a_meaning_of_its_own_in_patterns() {
        let prefix = Prefix::new("roll*call");
        assert_eq!(prefix.pattern("a?b"), "roll\\*call:a\\?b*");
        assert_eq!(prefix.glob("a?b*"), "roll\\*call:a?b*");
        assert_eq!(prefix.strip(&prefix.key("lock:x")), Some("lock:x"));
        assert_eq!(prefix.strip("other:lock:x"), None);
    }
}
