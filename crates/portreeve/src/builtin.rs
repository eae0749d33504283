//! The plugins of this binary, one line each. A custom gateway adds its own with `Gateway::with_plugin`.

use portreeve_plugin::Registry;

/// Every built-in plugin.
pub(crate) fn plugins(registry: Registry) -> Registry {
    registry
        .with::<portreeve_plugin_aggregate::Aggregate>()
        .with::<portreeve_plugin_concurrency_limit::ConcurrencyLimit>()
        .with::<portreeve_plugin_cors::Cors>()
        .with::<portreeve_plugin_headers::Headers>()
        .with::<portreeve_plugin_ip_filter::IpFilter>()
        .with::<portreeve_plugin_jwt::Jwt>()
        .with::<portreeve_plugin_key_auth::KeyAuth>()
        .with::<portreeve_plugin_rate_limit::RateLimit>()
        .with::<portreeve_plugin_request_deadline::RequestDeadline>()
        .with::<portreeve_plugin_request_id::RequestId>()
        .with::<portreeve_plugin_request_size::RequestSize>()
        .with::<portreeve_plugin_rewrite::Rewrite>()
        .with::<portreeve_plugin_versioning::Versioning>()
}
