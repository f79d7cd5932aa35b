//! What can go wrong, as a user of the library meets it.

use std::io;
use std::sync::Arc;

use crate::config::ConfigError;
use crate::data::with_causes;
use crate::driver::DriverError;
use crate::driver::handle::{Code, Problem};
use crate::server::ServerError;

/// Why something could not be done.
///
/// Only [`Error::Refused`] is about a request, and its message is fit for clients. The others are for whoever runs the
/// application: they say what has to be put right, and may name tables, files and addresses.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration file cannot be read.
    #[error("cannot read {file}")]
    File {
        /// The file as it was given.
        file: String,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// The configuration has mistakes: a line for each, with its place or its path. With [`Builder::strict`] also queries
    /// that do not fit the database.
    ///
    /// [`Builder::strict`]: crate::Builder::strict
    #[error("{0}")]
    Configuration(String),
    /// The database cannot be followed until somebody does what the message says: `wal_level`, a missing right, a wrong
    /// password. (A database that is merely out of reach is no error: it is tried again.)
    #[error("{0}")]
    Database(String),
    /// Nodes cannot be run on this machine.
    #[error("{0}")]
    Nodes(String),
    /// [`Builder::serve`](crate::Builder::serve) cannot have its port.
    #[error("cannot listen on {address}: is another program using it?")]
    Listen {
        /// As the configuration has it.
        address: String,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// A request was refused, or a stream ended.
    #[error("{message}")]
    Refused {
        /// Which of the reasons there are.
        code: Code,
        /// In words, without SQL, paths or rows of others.
        message: String,
    },
    /// A document or a claim is not what its Rust type says.
    #[error("{0}")]
    Value(String),
    /// A defect of Sangre ended it.
    #[error("Sangre failed, which is a defect of it: {0}")]
    Defect(String),
}

impl Error {
    /// The reason, if this is about a request.
    pub fn code(&self) -> Option<Code> {
        match self {
            Error::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Error::Refused { code: problem.code, message: problem.message }
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::Read { file, cause } => Error::File { file, source: Arc::new(cause) },
            ConfigError::Invalid { .. } => Error::Configuration(error.to_string()),
        }
    }
}

impl From<ServerError> for Error {
    fn from(error: ServerError) -> Self {
        match error {
            ServerError::Listen { address, source } => Error::Listen { address, source: Arc::new(source) },
            ServerError::Exposed { .. } | ServerError::Origin(_) | ServerError::Host(_) => {
                Error::Configuration(error.to_string())
            }
        }
    }
}

impl From<DriverError> for Error {
    fn from(error: DriverError) -> Self {
        match error {
            DriverError::Source(error) => Error::Database(with_causes(&error)),
            DriverError::Queries(lines) => Error::Configuration(lines),
            DriverError::Nodes(_) => Error::Nodes(with_causes(&error)),
        }
    }
}
