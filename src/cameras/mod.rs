//! The client of go2rtc, the server that connects the cameras.

mod go2rtc;
mod mjpeg;

pub use go2rtc::{Access, Go2rtc, UrlError};
