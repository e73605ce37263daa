//! What routes about devices share.

use serde::Deserialize;
use utoipa::ToSchema;

/// The code of a kiosk.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KioskCode {
    /// The code that the kiosk shows.
    #[schema(example = "K7PM-3XQ2")]
    pub code: String,
}
