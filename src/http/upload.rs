//! Uploads: one image as the body, or a multipart form. Each file and field is limited while it is
//! read, before it is kept in memory.

use std::collections::HashMap;

use axum::{
    body::Body,
    extract::{
        FromRequest, Multipart, Request,
        multipart::{Field, MultipartError},
    },
    http::{StatusCode, header},
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use uuid::Uuid;

use super::{
    field_error::{FieldError, JsonType},
    problem::{Code, Problem, too_large},
    room::Room,
};
use crate::{
    domain::{attendance::Origin, ids::AccountId},
    ports::Sample,
};

/// Most bytes of one image file.
pub const FILE_MOST: usize = 12 << 20;
/// Most characters of the name of a file; the rest is cut off.
const FILE_NAME_MOST: usize = 256;
/// Most bytes of one text field.
const TEXT_MOST: usize = 1 << 10;
/// Room for the text fields and the boundaries of a form.
const FORM_SLACK: usize = 64 << 10;

/// The sender of the uploads of people who have a link and no account: together they take the room
/// of one sender.
pub const INVITED: Origin = Origin::Account(AccountId::new(Uuid::nil()));

/// The upload that a route accepts.
pub struct Shape {
    /// The name of the parts with images.
    pub images: &'static str,
    /// Least images.
    pub least: usize,
    /// Most images.
    pub most: usize,
    /// Most bytes of all images together.
    pub bytes: usize,
    /// The names of the text parts.
    pub texts: &'static [&'static str],
    /// Whether the body may also be one image.
    pub bare: bool,
}

impl Shape {
    /// Returns the most bytes of a body of this shape.
    pub const fn body_limit(&self) -> usize {
        let images = self.most * FILE_MOST;
        let least = if images < self.bytes {
            images
        } else {
            self.bytes
        };
        least + FORM_SLACK
    }

    fn count(&self) -> FieldError {
        FieldError::WrongCount {
            least: self.least,
            most: self.most,
        }
    }

    fn unknown_part(&self) -> FieldError {
        let known = [&[self.images], self.texts].concat();
        FieldError::UnknownField {
            known: known.into_iter().map(str::to_owned).collect(),
        }
    }
}

/// An upload of images.
pub struct Upload {
    /// The images, in their order.
    pub images: Vec<Sample>,
    /// The names of the images' files, in the same order; empty where none was sent.
    pub names: Vec<String>,
    texts: HashMap<&'static str, String>,
    /// The images' memory, to be held while they are.
    pub room: Room,
}

impl Upload {
    /// Reads a request of a shape by a sender who was authenticated.
    pub async fn read(request: Request, shape: &'static Shape) -> Result<Self, Problem> {
        let sender = request.extensions().get::<Origin>();
        let sender = *sender.ok_or_else(|| Problem::internal("an upload without a sender"))?;
        Self::read_from(sender, request, shape).await
    }

    /// Reads a request of a shape by a sender.
    pub async fn read_from(
        sender: Origin,
        request: Request,
        shape: &'static Shape,
    ) -> Result<Self, Problem> {
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
        let mut room = Room::new(sender);
        match content_type.as_str() {
            "multipart/form-data" => {
                let form = Multipart::from_request(request, &()).await?;
                Self::read_form(form, shape, room).await
            }
            "image/jpeg" | "image/png" | "image/webp" if shape.bare => {
                let bytes = read_body(request.into_body(), &mut room).await?;
                Ok(Self {
                    images: vec![Sample::new(bytes)],
                    names: vec![String::new()],
                    texts: HashMap::new(),
                    room,
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
        room: Room,
    ) -> Result<Self, Problem> {
        let mut upload = Self {
            images: Vec::new(),
            names: Vec::new(),
            texts: HashMap::new(),
            room,
        };
        let failed = |error| form_problem(error, shape.body_limit());
        // The first part that is not accepted ends the form: the rest could be any number of them.
        while let Some(field) = form.next_field().await.map_err(failed)? {
            let name = field.name().unwrap_or_default().to_owned();
            let text = shape.texts.iter().find(|known| **known == name);
            if name == shape.images {
                if upload.images.len() == shape.most {
                    return Err(Problem::field(shape.images, shape.count()));
                }
                let file = field.file_name().unwrap_or_default();
                let file = file.chars().take(FILE_NAME_MOST).collect();
                let bytes = read_part(field, FILE_MOST, shape, &mut upload.room).await?;
                upload.images.push(Sample::new(bytes));
                upload.names.push(file);
            } else if let Some(&known) = text {
                if upload.texts.contains_key(known) {
                    return Err(Problem::field(known, FieldError::SentTwice));
                }
                let bytes = read_part(field, TEXT_MOST, shape, &mut upload.room).await?;
                let value = String::from_utf8(bytes.into())
                    .map_err(|_| Problem::field(known, FieldError::NotUtf8))?;
                upload.texts.insert(known, value);
            } else {
                let name: String = name.chars().take(64).collect();
                return Err(Problem::field(&name, shape.unknown_part()));
            }
        }
        if upload.images.len() < shape.least {
            return Err(Problem::field(shape.images, shape.count()));
        }
        Ok(upload)
    }

    /// Returns a text part; `None` if it was not sent.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(|text| text.trim())
    }

    /// Returns a text part that is `true` or `false`; false if it was not sent.
    pub fn flag(&self, name: &'static str) -> Result<bool, Problem> {
        match self.text(name) {
            None | Some("" | "false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::field(
                name,
                FieldError::WrongType {
                    expected: JsonType::Boolean,
                },
            )),
        }
    }
}

/// Makes the problem of a form that cannot be read to its end.
fn form_problem(error: MultipartError, limit: usize) -> Problem {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large("the request", limit),
        // The body failed, not the service: the client left, or did not keep to HTTP.
        StatusCode::INTERNAL_SERVER_ERROR => body_ended(),
        _ => error.into(),
    }
}

fn body_ended() -> Problem {
    Problem::new(Code::Malformed, "the request ended before its body did")
}

async fn read_part(
    mut field: Field<'_>,
    most: usize,
    shape: &'static Shape,
    room: &mut Room,
) -> Result<Bytes, Problem> {
    let mut bytes = BytesMut::new();
    let failed = |error| form_problem(error, shape.body_limit());
    while let Some(chunk) = field.chunk().await.map_err(failed)? {
        if bytes.len() + chunk.len() > most {
            return Err(too_large("a part of the form", most));
        }
        room.take(chunk.len())?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

/// Reads a body that is one image.
async fn read_body(body: Body, room: &mut Room) -> Result<Bytes, Problem> {
    let mut body = body.into_data_stream();
    let mut bytes = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| body_ended())?;
        if bytes.len() + chunk.len() > FILE_MOST {
            return Err(too_large("the request", FILE_MOST));
        }
        room.take(chunk.len())?;
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}
