//! Lists in pages: one shape, with opaque cursors.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::{IntoParams, ToSchema};

use super::{field_error::FieldError, problem::Problem};
use crate::ports::Page;

/// Items in a page by default.
const DEFAULT_LIMIT: usize = 50;
/// Most items in a page.
const MOST: usize = 200;

/// The page that a client asks for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Most items in the page, 1 to 200; 50 by default.
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub limit: Option<usize>,
    /// The `next` of the page before.
    pub cursor: Option<String>,
}

impl PageQuery {
    /// Returns the page to ask the store for: with one item more, which tells whether more follow.
    pub fn page<C: DeserializeOwned>(&self) -> Result<Wanted<C>, Problem> {
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MOST).contains(&limit) {
            let most = MOST as i128;
            return Err(Problem::field(
                "limit",
                FieldError::OutOfRange { least: 1, most },
            ));
        }
        let cursor = self.cursor.as_deref().filter(|cursor| !cursor.is_empty());
        let after = cursor.map(decode).transpose()?;
        Ok(Wanted {
            page: Page {
                after,
                limit: limit + 1,
            },
        })
    }
}

/// A page that is to be read.
pub struct Wanted<C> {
    /// What to ask the store for.
    pub page: Page<C>,
}

impl<C: Serialize> Wanted<C> {
    /// Cuts the items of the store to the page; also returns the cursor of the next one.
    pub fn cut<T>(
        &self,
        mut items: Vec<T>,
        cursor: impl Fn(&T) -> C,
    ) -> Result<(Vec<T>, Option<String>), Problem> {
        let limit = self.page.limit - 1;
        if items.len() <= limit {
            return Ok((items, None));
        }
        items.truncate(limit);
        let next = items.last().map(|last| encode(&cursor(last))).transpose()?;
        Ok((items, next))
    }
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct List<T> {
    /// The items.
    pub items: Vec<T>,
    /// The cursor of the next page; null on the last page.
    pub next: Option<String>,
}

fn encode<C: Serialize>(cursor: &C) -> Result<String, Problem> {
    serde_json::to_vec(cursor)
        .map(|json| URL_SAFE_NO_PAD.encode(json))
        .map_err(|error| Problem::internal(error.to_string()))
}

fn decode<C: DeserializeOwned>(cursor: &str) -> Result<C, Problem> {
    let json = URL_SAFE_NO_PAD.decode(cursor).ok();
    json.and_then(|json| serde_json::from_slice(&json).ok())
        .ok_or_else(|| Problem::field("cursor", FieldError::NotACursor))
}
