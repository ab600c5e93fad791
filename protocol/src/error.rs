//! Every error a caller can see: its name, its HTTP status and what to do about it, in one table.
//!
//! The worker and the server answer through this table, so they can't differ. Names are API: they are added, never
//! changed. Those of Keen are kept because Keen's clients switch on them.

use serde::Serialize;

/// What a caller should do with a request that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same request will fail again: mend it or drop it.
    Never,
    /// The same request may pass later: keep it and send it again.
    Later,
}

macro_rules! error_codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $status:literal, $retry:ident;)+) => {
        /// Why a request or an event was refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[doc = $doc])+ $name,)+
        }

        impl ErrorCode {
            /// All of them, in the order of the reference.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The name on the wire and in metrics.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code),+ }
            }

            /// The HTTP status when it ends a whole request.
            #[must_use]
            pub const fn http_status(self) -> u16 {
                match self { $(Self::$name => $status),+ }
            }

            /// What the caller should do.
            #[must_use]
            pub const fn retry(self) -> Retry {
                match self { $(Self::$name => Retry::$retry),+ }
            }

            /// One sentence for the reference.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+)),+ }
            }
        }
    };
}

error_codes! {
    /// No key, or one that is malformed, unknown or revoked.
    InvalidApiKey = "InvalidApiKeyError", 401, Never;
    /// Only the master key may do this.
    AdminOnlyEndpoint = "AdminOnlyEndpointError", 403, Never;
    /// The key is known but may not do this.
    KeyNotPermitted = "KeyNotPermittedError", 403, Never;
    /// There is no such project, collection, property, key or route.
    ResourceNotFound = "ResourceNotFoundError", 404, Never;
    /// The key may not be used from this origin.
    OriginNotAllowed = "OriginNotAllowedError", 403, Never;
    /// The route exists but not with this method.
    MethodNotAllowed = "MethodNotAllowedError", 405, Never;
    /// The body is not a JSON object, or is empty.
    InvalidEvent = "InvalidEventError", 400, Never;
    /// The body is not an object of lists of events.
    InvalidBatch = "InvalidBatchError", 400, Never;
    /// The collection's name breaks the rules.
    InvalidCollectionName = "InvalidCollectionNameError", 400, Never;
    /// A property's name breaks the rules, is repeated, or there are too many.
    InvalidPropertyName = "InvalidPropertyNameError", 400, Never;
    /// A property's value breaks the rules: too long, too deep, or not storable.
    InvalidPropertyValue = "InvalidPropertyValueError", 400, Never;
    /// The event sets a property of `keen` that only the server sets, or one that is unknown.
    InvalidKeenNamespaceProperty = "InvalidKeenNamespaceProperty", 400, Never;
    /// `keen` is not an object.
    NamespaceType = "NamespaceTypeError", 400, Never;
    /// The body or one event is larger than the limit.
    EventTooLarge = "EventTooLargeError", 413, Never;
    /// The content encoding is not one that is accepted here.
    UnsupportedEncoding = "UnsupportedEncodingError", 415, Never;
    /// A parameter of the query is missing or malformed.
    InvalidParameter = "InvalidParameterError", 400, Never;
    /// The body did not arrive whole in time; nothing of it was kept.
    RequestTimeout = "RequestTimeoutError", 408, Later;
    /// The interval makes more buckets than allowed.
    TooManyBuckets = "TooManyBucketsError", 400, Never;
    /// The grouping makes more groups than allowed.
    TooManyGroups = "TooManyGroupsError", 400, Never;
    /// The query ran longer than allowed.
    QueryTimeout = "QueryTimeoutError", 504, Never;
    /// This caller's budget is used up for now.
    TooManyRequests = "TooManyRequestsError", 429, Later;
    /// The server can't store or answer now; nothing of the request was kept.
    Unavailable = "ServiceUnavailableError", 503, Later;
    /// A fault of ours.
    Internal = "InternalServerError", 500, Later;
}

/// A refusal: which rule, and a text that names the limit and the value that broke it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Which rule was broken.
    pub code: ErrorCode,
    /// For a person: lower case, no full stop, with the limit.
    pub message: String,
}

impl Refusal {
    /// A refusal with a text.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// Keen's envelope for it.
    #[must_use]
    pub fn body(&self) -> ErrorBody<'_> {
        ErrorBody { error_code: self.code.code(), message: &self.message }
    }
}

/// The body of every answer that is not a success: Keen's envelope.
#[derive(Debug, Serialize)]
pub struct ErrorBody<'a> {
    /// The stable name.
    pub error_code: &'a str,
    /// The text for a person.
    pub message: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_refusals_are_not_server_errors_that_pass() {
        let mut codes: Vec<_> = ErrorCode::ALL.iter().map(|code| code.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), ErrorCode::ALL.len());
        for code in ErrorCode::ALL {
            assert!((400..600).contains(&code.http_status()), "{}", code.code());
            assert!(!code.meaning().is_empty(), "{}", code.code());
            let later = matches!(code.http_status(), 408 | 429 | 500 | 503);
            assert_eq!(code.retry() == Retry::Later, later, "{}", code.code());
        }
    }
}
