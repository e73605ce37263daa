//! Why the service cannot start.

use std::{io, net::SocketAddr, path::PathBuf};

use super::{SharedError, TlsError};
use crate::{
    cameras::UrlError,
    config::KeyFileError,
    domain::{biometrics::ModelId, employees::CONSENT_VERSION},
    identity,
    ports::StoreError,
    service::accounts::AccountError,
    storage::{mongo, sqlite},
    vision::{EngineStartError, PackError, RuntimeError},
};

/// Why the service cannot start. The messages say what to do.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The data folder cannot be used.
    #[error("could not write to the data folder {path}: {cause}; set DATA_DIR to a folder that is writable", path = .path.display())]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// The error of the operating system.
        cause: io::Error,
    },
    /// The template key file cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The previous model pack has the same model as the present one.
    #[error("PREVIOUS_MODEL_PACK has the same model as MODEL_PACK, {0}: remove it")]
    SameModel(ModelId),
    /// The store contains encrypted data, but there is no key that decrypts it.
    #[error("the store contains encrypted data, such as faces, and the template key is missing: restore {file} from its backup, or set TEMPLATE_KEY to its content; to start over without these faces, run `rollcall employees delete-faces --yes`, then enroll everybody again", file = .0.display())]
    KeyLost(PathBuf),
    /// The SQLite database cannot be opened.
    #[error(transparent)]
    Sqlite(#[from] sqlite::OpenError),
    /// The settings of MongoDB are invalid.
    #[error(transparent)]
    Mongo(#[from] mongo::ConnectError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The address of the store is not set.
    #[error("the store has no address: set {0}")]
    NoAddress(&'static str),
    /// The URL of a store has none of the known forms. It is not shown, because it may contain a
    /// password.
    #[error(
        "the URL of the store is invalid; it must be sqlite:///path, mongodb://…/database or redis://…/number"
    )]
    StoreUrl,
    /// The SQLite database does not exist.
    #[error("there is no database {}: check DATA_DIR", .0.display())]
    NoDatabase(PathBuf),
    /// ONNX Runtime is missing.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The model pack cannot be used.
    #[error("model pack: {0}")]
    Pack(#[from] PackError),
    /// The face engine cannot start.
    #[error("could not start the face engine: {0}")]
    Engine(#[from] EngineStartError),
    /// The text of the consent was changed, and not its version.
    #[error(
        "the store has another text of the consent version {CONSENT_VERSION}, to which people may have agreed: give the new text a new version"
    )]
    ConsentText,
    /// The first account cannot be created.
    #[error("could not create the account of ADMIN_EMAIL: {0}")]
    Admin(#[from] AccountError),
    /// Another program listens on the address.
    #[error(
        "{0} is already in use: stop the program that listens there, or set PORT to another port"
    )]
    PortInUse(SocketAddr),
    /// The address cannot be listened on.
    #[error("could not listen on {address}: {cause}; check HOST and PORT")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The error of the operating system.
        cause: io::Error,
    },
    /// The shared parts cannot be set up.
    #[error(transparent)]
    Shared(#[from] SharedError),
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The identity provider cannot be set up.
    #[error(transparent)]
    SignOn(#[from] identity::SetUpError),
    /// The URL of go2rtc is invalid.
    #[error(transparent)]
    Go2rtc(#[from] UrlError),
    /// The client that sends messages to webhooks cannot be created.
    #[error("could not create the client for webhooks: {0}")]
    Webhooks(String),
    /// The file with other authorities cannot be used.
    #[error("EXTRA_CA {path}: {cause}; it must be a PEM file with the certificates of authorities", path = .path.display())]
    ExtraCa {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// The settings of the mail server or of the broker are invalid.
    #[error("{0}")]
    Mail(String),
    /// The metrics recorder cannot be installed.
    #[error("could not start the metrics: {0}")]
    Metrics(String),
    /// The server failed.
    #[error("the server failed: {0}")]
    Serve(io::Error),
    /// The task that starts the engine was aborted, or has panicked.
    #[error("the start of the face engine was aborted")]
    Aborted,
}
