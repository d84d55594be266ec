//! Response headers that several routes share.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// Returns the headers of a response that pages of any origin may use, those under COEP included.
pub(super) fn cross_origin(cache_control: &'static str) -> HeaderMap {
    [
        (header::CACHE_CONTROL, cache_control),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ]
    .into_iter()
    .map(|(name, value)| (name, HeaderValue::from_static(value)))
    .collect()
}
