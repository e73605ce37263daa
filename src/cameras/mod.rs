//! The client of go2rtc, which brings in the cameras.

mod go2rtc;
mod mjpeg;

pub use go2rtc::{Access, Go2rtc, UrlError};
