//! What each hook may see and change. One context a hook, so that what is impossible in a phase does not compile there.

mod body;
mod head;
mod log;
mod request;
mod response;
mod scope;
mod upstream;

pub use body::{RequestBodyCx, ResponseBodyCx};
pub use log::{LogCx, Summary};
pub use request::RequestCx;
pub use response::{Origin, ResponseCx};
#[doc(hidden)]
pub use scope::View;

pub use upstream::{Attempt, UpstreamCx};

pub(crate) use head::is_framing;
#[doc(hidden)]
pub use head::{cookie, host, query_value};

/// The accessors that every context shares, written once. Each context has the fields `exchange`, `step` and `states`.
macro_rules! shared_accessors {
    ($context:ident) => {
        impl $context<'_> {
            /// Name of the route, once the router has found it.
            pub fn route(&self) -> Option<&str> {
                self.exchange.route.as_deref()
            }

            /// Name of the listener that accepted the request.
            pub fn listener(&self) -> &str {
                &self.exchange.listener
            }

            /// Address of the client, after trusted-proxy resolution.
            pub fn client_ip(&self) -> std::net::IpAddr {
                self.exchange.client_ip()
            }

            /// The TLS connection the request came on, with the client's certificate if it showed one. `None` in clear.
            pub fn tls(&self) -> Option<&$crate::ClientTls> {
                self.exchange.tls.as_deref()
            }

            /// The path parameter `name`, percent-encoded as it stood in the normalised path.
            pub fn param(&self, name: &str) -> Option<&str> {
                self.exchange.params.get(name)
            }

            /// Who calls, once an authenticating plugin has said so.
            pub fn consumer(&self) -> Option<&$crate::Consumer> {
                self.exchange.consumer.as_deref()
            }

            /// The version of the API that the request is for, once a plugin has said so.
            pub fn version(&self) -> Option<&std::sync::Arc<str>> {
                self.exchange.version.as_ref()
            }

            /// What the request costs, if a plugin has said so.
            pub fn cost(&self) -> Option<u64> {
                self.exchange.cost
            }

            /// The fact of type `T` that an earlier plugin left with [`RequestCx::put`](crate::cx::RequestCx::put).
            pub fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
                self.exchange.facts.get()
            }

            /// The value of a compiled template, or `None` if something it names is absent and has no default.
            pub fn render<'t, P: $crate::template::Phase>(
                &'t self,
                template: &'t $crate::Template<P>,
            ) -> Option<std::borrow::Cow<'t, str>> {
                template.render(self)
            }
        }
    };
}
pub(crate) use shared_accessors;

/// The accessors of the contexts that may remember and tell.
macro_rules! state_accessors {
    ($context:ident) => {
        impl $context<'_> {
            /// What this step remembers of this request from an earlier hook; its default on first use.
            pub fn state<T: Default + Send + Sync + 'static>(&mut self) -> &mut T {
                self.states.of(self.index)
            }

            /// Tells something worth knowing, for `explain`, the access log and traces. No secrets, no bodies.
            pub fn note(&mut self, why: impl Into<std::borrow::Cow<'static, str>>) {
                self.step.tell(self.exchange, $crate::Verdict::Note, why);
            }

            /// The id of this request.
            pub fn request_id(&mut self) -> &std::sync::Arc<str> {
                self.exchange.request_id()
            }
        }
    };
}
pub(crate) use state_accessors;
