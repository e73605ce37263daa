//! Uploads: one image as the body, or a multipart form. Every file and every field is bounded
//! while it is read, before it is kept in memory.

use std::collections::HashMap;

use axum::{
    extract::{
        FromRequest, Multipart, Request,
        multipart::{Field, MultipartError},
    },
    http::{StatusCode, header},
};
use bytes::{Bytes, BytesMut};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::problem::{Code, Fields, Problem, too_large};
use crate::ports::Sample;

/// Most bytes of one image file.
pub const FILE_MOST: usize = 12 << 20;
/// Most bytes of one text field.
const TEXT_MOST: usize = 1 << 10;
/// Room for the text fields and the boundaries of a form.
const FORM_SLACK: usize = 64 << 10;

/// What a route takes.
pub struct Shape {
    /// The name of the parts that carry images.
    pub images: &'static str,
    /// Most images.
    pub most: usize,
    /// The names of the text parts.
    pub texts: &'static [&'static str],
    /// Whether the body may be an image instead of a form.
    pub bare: bool,
}

impl Shape {
    /// Most bytes of a body of this shape.
    pub const fn body_limit(&self) -> usize {
        self.most * FILE_MOST + FORM_SLACK
    }
}

/// What was uploaded: at least one image.
#[derive(Debug)]
pub struct Upload {
    /// The images, in their order.
    pub images: Vec<Sample>,
    texts: HashMap<&'static str, String>,
    /// Held as long as the images are.
    _room: SemaphorePermit<'static>,
}

/// How many bytes of images are in memory at a time, over all requests, in KiB: two dozen of the
/// largest, hundreds as kiosks send them.
const ROOM: usize = 256 << 10;
static ROOM_LEFT: Semaphore = Semaphore::const_new(ROOM);

/// Room for a body; nobody waits for it with a connection open.
fn room(bytes: usize) -> Result<SemaphorePermit<'static>, Problem> {
    let wanted = u32::try_from(bytes.div_ceil(1 << 10)).unwrap_or(u32::MAX);
    ROOM_LEFT.try_acquire_many(wanted).map_err(|_| {
        Problem::new(
            Code::EngineBusy,
            "too many images at once: try again in a moment",
        )
    })
}

impl Upload {
    /// Reads a request of a shape.
    pub async fn read(request: Request, shape: &'static Shape) -> Result<Self, Problem> {
        let headers = request.headers();
        let declared = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let content_type = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok()?.split(';').next())
            .map(|essence| essence.trim().to_ascii_lowercase())
            .unwrap_or_default();
        let limit = match content_type.as_str() {
            "multipart/form-data" => shape.body_limit(),
            _ => FILE_MOST,
        };
        if declared.is_some_and(|length| length > limit) {
            return Err(too_large("the request", limit));
        }
        let wanted = declared.unwrap_or(limit);
        match content_type.as_str() {
            "multipart/form-data" => {
                let room = room(wanted)?;
                let form = Multipart::from_request(request, &()).await?;
                Self::read_form(form, shape, room).await
            }
            "image/jpeg" | "image/png" | "image/webp" if shape.bare => {
                let room = room(wanted)?;
                let bytes = axum::body::to_bytes(request.into_body(), FILE_MOST)
                    .await
                    .map_err(|_| too_large("the request", FILE_MOST))?;
                Ok(Self {
                    images: vec![Sample::new(bytes)],
                    texts: HashMap::new(),
                    _room: room,
                })
            }
            _ => {
                let images = shape.images;
                let bare = if shape.bare {
                    ", or one image as the body with image/jpeg, image/png or image/webp"
                } else {
                    ""
                };
                Err(Problem::new(
                    Code::UnsupportedType,
                    format!("send multipart/form-data with images in parts named `{images}`{bare}"),
                ))
            }
        }
    }

    async fn read_form(
        mut form: Multipart,
        shape: &'static Shape,
        room: SemaphorePermit<'static>,
    ) -> Result<Self, Problem> {
        let mut upload = Self {
            images: Vec::new(),
            texts: HashMap::new(),
            _room: room,
        };
        let mut fields = Fields::default();
        let cut = |error| cut_off(error, shape.body_limit());
        while let Some(field) = form.next_field().await.map_err(cut)? {
            let name = field.name().unwrap_or_default().to_owned();
            let text = shape.texts.iter().find(|known| **known == name);
            if name == shape.images {
                if upload.images.len() == shape.most {
                    return Err(Problem::field(
                        shape.images,
                        match shape.most {
                            1 => "one image is taken".to_owned(),
                            most => format!("at most {most} images are taken"),
                        },
                    ));
                }
                let bytes = read_part(field, FILE_MOST, shape).await?;
                upload.images.push(Sample::new(bytes));
            } else if let Some(&known) = text {
                let bytes = read_part(field, TEXT_MOST, shape).await?;
                match String::from_utf8(bytes.into()) {
                    Ok(value) if upload.texts.contains_key(known) => {
                        drop(value);
                        fields.add(known, "was sent more than once");
                    }
                    Ok(value) => {
                        upload.texts.insert(known, value);
                    }
                    Err(_) => fields.add(known, "must be UTF-8"),
                }
            } else {
                let name: String = name.chars().take(64).collect();
                fields.add(&name, "is not a part that is taken here");
            }
        }
        if upload.images.is_empty() {
            fields.add(shape.images, "at least one image is needed");
        }
        fields.check()?;
        Ok(upload)
    }

    /// A text part; `None` when it was not sent.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(|text| text.trim())
    }

    /// A text part that says yes or no; no when it was not sent.
    pub fn flag(&self, name: &'static str) -> Result<bool, Problem> {
        match self.text(name) {
            None | Some("" | "false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::field(name, "must be true or false")),
        }
    }
}

/// What ended the reading of a form; of a body that goes on for too long it is known how much is
/// taken.
fn cut_off(error: MultipartError, limit: usize) -> Problem {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large("the request", limit),
        _ => error.into(),
    }
}

async fn read_part(
    mut field: Field<'_>,
    most: usize,
    shape: &'static Shape,
) -> Result<Bytes, Problem> {
    let mut bytes = BytesMut::new();
    let cut = |error| cut_off(error, shape.body_limit());
    while let Some(chunk) = field.chunk().await.map_err(cut)? {
        if bytes.len() + chunk.len() > most {
            return Err(too_large("a part of the form", most));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}
