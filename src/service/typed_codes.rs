//! Codes that people read and type: of pairings, and for recovery.

use crate::clock::Clock;

/// Crockford's base 32: no letter that looks like a digit or another letter.
const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Returns a random code of at most 32 letters, each of 5 bits.
pub fn mint(clock: &dyn Clock, length: usize) -> String {
    let random = clock.secret();
    let letter = |byte: &u8| char::from(LETTERS[usize::from(byte % 32)]);
    random.iter().take(length).map(letter).collect()
}

/// Normalizes a code that a person typed: ignores case, spaces and hyphens, and reads the letters that
/// Crockford's alphabet omits as the digits they look like.
pub fn normalize(code: &str) -> String {
    let letters = code.chars().filter(|letter| letter.is_alphanumeric());
    letters
        .map(|letter| match letter.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            letter => letter,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn codes_are_read_as_people_type_them() {
        assert_eq!(normalize("k7pm-3xq2"), "K7PM3XQ2");
        assert_eq!(normalize(" KoIL 3xq2 "), "K0113XQ2");
        let code = mint(&SystemClock, 16);
        assert_eq!(normalize(&code.to_lowercase()), code);
        assert_eq!(code.len(), 16);
    }
}
