//! A kiosk during a flood: `cargo bench --bench flood`.
//!
//! Starts the real binary on loopback. Prints, all from one run:
//!
//! - the time of a punch while the service is idle;
//! - the peak memory while eight accounts enroll photos of 12 megapixels at once;
//! - the time of a punch of one kiosk while a single token at another address, within the default
//!   rate limit, sends large pictures, ten at a time: PNG files of 3,900 × 3,900 pixels with 16 bits
//!   per channel, which are refused, and with 8 bits, which are analyzed; and the peak memory
//!   meanwhile.
//!
//! Each flood lasts ten seconds. The benchmark asserts nothing, and ends within five minutes.

#[path = "support.rs"]
mod support;

use std::{
    io::Cursor,
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use futures::future::{join_all, try_join_all};
use image::{DynamicImage, ImageFormat, RgbImage, imageops};
use reqwest::multipart;
use rollcall::http_client;
use serde_json::json;
use support::{Admin, Kiosk, Outcome, Service, fixture, percentiles, photo, text};

/// Punches of the idle service.
const ALONE: usize = 60;
/// How many photos are enrolled at once, and their size in pixels.
const ENROLLED: usize = 8;
const PHOTO: (u32, u32) = (4000, 3000);
/// The side of a picture of the flood, in pixels.
const SIDE: u32 = 3900;
const AT_ONCE: usize = 10;
const FLOOD: Duration = Duration::from_secs(10);

/// Returns a photo of 12 megapixels.
fn large_photo(name: &str) -> Outcome<Vec<u8>> {
    let face = image::open(fixture(name))?.into_rgb8();
    let height = PHOTO.1.min(PHOTO.0 * face.height() / face.width());
    let width = face.width() * height / face.height();
    let face = imageops::resize(&face, width, height, imageops::FilterType::Triangle);
    let mut picture = RgbImage::from_pixel(PHOTO.0, PHOTO.1, image::Rgb([128; 3]));
    imageops::overlay(&mut picture, &face, i64::from((PHOTO.0 - width) / 2), 0);
    encode(&DynamicImage::ImageRgb8(picture), ImageFormat::Jpeg)
}

fn encode(image: &DynamicImage, format: ImageFormat) -> Outcome<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format)?;
    Ok(bytes.into_inner())
}

/// Returns the same PNG with different bytes: adds a chunk that no decoder knows.
fn numbered_png(png: &[u8], number: u64) -> Vec<u8> {
    let mut chunk = b"roLl".to_vec();
    chunk.extend(number.to_be_bytes());
    let mut sum = flate2::Crc::new();
    sum.update(&chunk);
    let mut bytes = png[..33].to_vec();
    bytes.extend(8u32.to_be_bytes());
    bytes.extend(chunk);
    bytes.extend(sum.sum().to_be_bytes());
    bytes.extend(&png[33..]);
    bytes
}

/// Enrolls one large photo for each of several people at once, and prints the peak memory.
async fn enroll(service: &Service, admin: &Admin) -> Outcome<()> {
    let photo = large_photo("hopper")?;
    service.reset_peak()?;
    let enroll = async |number: usize| -> Outcome<()> {
        let code = format!("L{number}");
        let person = admin.post("/api/employees", json!({"name": code, "code": code}));
        let bytes = support::numbered(&photo, number as u64);
        let form = multipart::Form::new()
            .text("employee", text(&person.await?, "id")?)
            .text("consent", "true")
            .text("override", "true")
            .part("photo", multipart::Part::bytes(bytes));
        let answer = admin.client.post(format!("{}/api/enroll", service.base));
        let answer = answer.multipart(form).send().await?;
        println!("  enrollment {number}: {}", answer.status());
        Ok(())
    };
    try_join_all((0..ENROLLED).map(enroll)).await?;
    println!(
        "peak memory, {ENROLLED} photos of 12 megapixels at once: {:.0} MiB (goal: at most 500)",
        service.peak()?
    );
    Ok(())
}

/// Punches for a while; returns the median in milliseconds.
async fn punch(kiosk: &Kiosk, until: impl Fn(usize) -> bool) -> Outcome<f64> {
    let mut times = Vec::new();
    while until(times.len()) {
        let start = Instant::now();
        kiosk.punch().await?;
        times.push(start.elapsed());
    }
    Ok(percentiles(&mut times).0)
}

/// Sends pictures from one token while the kiosk punches.
async fn flood(service: &Service, kiosk: &Kiosk, token: &str, png: &[u8]) -> Outcome<(f64, u64)> {
    let (sent, end) = (AtomicU64::new(0), Instant::now() + FLOOD);
    let client = http_client::builder().build()?;
    let send = async || {
        while Instant::now() < end {
            let number = sent.fetch_add(1, Ordering::Relaxed);
            let answer = client.post(format!("{}/api/identify", service.base));
            let answer = answer
                .bearer_auth(token)
                .header("content-type", "image/png");
            let answer = answer.body(numbered_png(png, number)).send().await;
            // Refusals are part of a flood, but the client shares the processor with the service.
            if answer.is_ok_and(|answer| answer.status() == 429) {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    };
    let punches = async {
        // Until the flood is there.
        tokio::time::sleep(Duration::from_secs(1)).await;
        punch(kiosk, |_| Instant::now() < end).await
    };
    let (_, time) = tokio::join!(join_all((0..AT_ONCE).map(|_| send())), punches);
    Ok((time?, sent.into_inner()))
}

async fn run() -> Outcome<()> {
    let service = Service::start(&[("RATE_LIMIT", "50")], None)?;
    let admin = Admin::of(&service).await?;
    admin.enroll("obama").await?;
    let mut kiosk = Kiosk::new(&service, admin.device().await?, photo(&fixture("obama"))?);
    // The kiosk has another address than the flood.
    kiosk.client = http_client::builder()
        .local_address(IpAddr::from([127, 0, 0, 2]))
        .build()?;
    let token = admin.device().await?;
    for _ in 0..10 {
        kiosk.punch().await?;
    }
    let start = service.memory()?;
    let idle = punch(&kiosk, |count| count < ALONE).await?;
    println!("a punch while idle: {idle:.1} ms; memory {start:.0} MiB");
    enroll(&service, &admin).await?;
    let deep = DynamicImage::ImageRgb16(image::ImageBuffer::new(SIDE, SIDE));
    let plain = DynamicImage::ImageRgb8(RgbImage::new(SIDE, SIDE));
    for (what, image) in [("16-bit", deep), ("8-bit", plain)] {
        let png = encode(&image, ImageFormat::Png)?;
        drop(image);
        service.reset_peak()?;
        let (time, sent) = flood(&service, &kiosk, &token, &png).await?;
        println!(
            "a flood of {sent} {what} pictures of {SIDE}×{SIDE}, {} KiB each, in {} s",
            png.len() / 1024,
            FLOOD.as_secs()
        );
        println!(
            "  a punch elsewhere {time:.1} ms = {:.2} × idle (goal for 16-bit: 2)",
            time / idle
        );
        println!(
            "  peak memory {:.0} MiB (goal: at most 500)",
            service.peak()?
        );
        // The engine may still have pictures of the flood.
        kiosk.punch().await?;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let more = service.memory()? - start;
        println!("  afterwards {more:.0} MiB more than at the start (goal: at most 30)");
    }
    Ok(())
}

fn main() -> Outcome<()> {
    tokio::runtime::Runtime::new()?.block_on(run())
}
