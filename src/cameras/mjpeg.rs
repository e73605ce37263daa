//! Splits an MJPEG stream into pictures: a `multipart/x-mixed-replace` body as go2rtc writes it,
//! where every part has a `Content-Length`.

use bytes::{Buf, Bytes, BytesMut};

/// Maximum size of a picture, in bytes: the same as for a picture that a device posts.
pub(super) const MOST_BYTES: usize = 12 << 20;
/// Maximum size of a part's headers, in bytes.
const MOST_HEADERS: usize = 4 << 10;
const LENGTH: &[u8] = b"content-length:";

/// The error for a body that is not an MJPEG stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the response is not an MJPEG stream")]
pub(super) struct NotMjpeg;

/// A parser that receives bytes and returns pictures.
#[derive(Debug, Default)]
pub(super) struct Parts {
    bytes: BytesMut,
    /// The length of the next picture, once its headers are read.
    length: Option<usize>,
}

impl Parts {
    /// Adds received bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns the next picture, if it is complete.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, NotMjpeg> {
        let length = match self.length {
            Some(length) => length,
            None => match self.headers()? {
                Some(length) => *self.length.insert(length),
                None => return Ok(None),
            },
        };
        if self.bytes.len() < length {
            return Ok(None);
        }
        self.length = None;
        Ok(Some(self.bytes.split_to(length).freeze()))
    }

    /// Reads the next headers and returns the length of their picture, if they are complete.
    fn headers(&mut self) -> Result<Option<usize>, NotMjpeg> {
        let Some(end) = memchr::memmem::find(&self.bytes, b"\r\n\r\n") else {
            return match self.bytes.len() {
                0..=MOST_HEADERS => Ok(None),
                _ => Err(NotMjpeg),
            };
        };
        let length = self.bytes[..end]
            .split(|&byte| byte == b'\n')
            .filter_map(|line| {
                let (name, value) = line.split_at_checked(LENGTH.len())?;
                name.eq_ignore_ascii_case(LENGTH).then_some(value)
            })
            .find_map(|value| str::from_utf8(value).ok()?.trim().parse().ok())
            .filter(|length| (1..=MOST_BYTES).contains(length))
            .ok_or(NotMjpeg)?;
        self.bytes.advance(end + 4);
        Ok(Some(length))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part(picture: &[u8]) -> Vec<u8> {
        let head = format!(
            "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n",
            picture.len()
        );
        [head.as_bytes(), picture, b"\r\n"].concat()
    }

    proptest! {
        #[test]
        fn pictures_are_complete_however_the_bytes_arrive(
            pictures in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 1..6),
            cut in 1usize..64,
        ) {
            let body: Vec<u8> = pictures.iter().flat_map(|picture| part(picture)).collect();
            let mut parts = Parts::default();
            let mut out = Vec::new();
            for piece in body.chunks(cut) {
                parts.push(piece);
                while let Some(picture) = parts.next().unwrap() {
                    out.push(picture.to_vec());
                }
            }
            prop_assert_eq!(out, pictures);
        }
    }

    #[test]
    fn other_bodies_are_rejected_before_they_take_memory() {
        for body in [
            "--frame\r\nContent-Type: image/jpeg\r\n\r\nabc".to_owned(),
            "--frame\r\nContent-Length: 99999999999\r\n\r\n".to_owned(),
            "--frame\r\nContent-Length: 0\r\n\r\n".to_owned(),
            "x".repeat(MOST_HEADERS + 1),
        ] {
            let mut parts = Parts::default();
            parts.push(body.as_bytes());
            assert_eq!(parts.next(), Err(NotMjpeg), "{}", &body[..20]);
        }
    }
}
