//! Host, path, method, headers, query and cookies to route. Pure: no I/O, no clock, nothing asynchronous.
//!
//! A request's path is brought into its one spelling by [`path::normalise`], once. Then [`Router::find`] looks up the
//! [`Rule`] that takes the request. What was matched is what is forwarded.
//!
//! ```
//! use http::{HeaderMap, Method};
//! use portreeve_router::{Lookup, Outcome, Router, Rule, path};
//!
//! let rule = Rule {
//!     hosts: vec!["api.example.com".parse()?],
//!     paths: vec!["/users/{id}".parse()?],
//!     methods: vec![Method::GET],
//!     ..Rule::default()
//! };
//! let router = Router::compile(vec![rule]).expect("one rule has nobody to conflict with");
//!
//! let normal = path::normalise("/users//%37")?;
//! let path = normal.admitted_by(Default::default())?;
//! let request = Lookup {
//!     method: &Method::GET,
//!     host: "API.example.com",
//!     path: &path,
//!     query: "",
//!     headers: &HeaderMap::new(),
//!     facts: None,
//! };
//! let Outcome::Found(found) = router.find(&request) else { unreachable!() };
//! assert_eq!(found.params.get("id", &path), Some("7"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What wins
//!
//! The most specific rule, never the order of the text. Of two rules that take a request the first of these points on
//! which they differ decides:
//!
//! 1. **Host**: an exact host before `*.suffix`, a longer suffix before a shorter one, any suffix before no host.
//! 2. **Path**, segment by segment from the left: a literal before a regular expression before `{name}` before `*`
//!    before `**`. A path that ends before one that goes on with `**`. `{name**}` ranks as `**` does. A regular
//!    expression stands after the whole literal segments that all its matches start with: `regex:^/users/\d+$` is
//!    `users`, then an expression; so `/users/me` wins over it, and it wins over `/users/{id}`.
//! 3. **Methods**: a rule that names the method before one that takes any. For HEAD: HEAD named, then GET named, then any.
//! 4. **Conditions**: more conditions on headers, query parameters and cookies before fewer.
//! 5. **Guard**: a rule with a guard before one without.
//! 6. **Priority**: the higher [`Rule::priority`] first. It decides between rules that would tie, and never before any of
//!    the points above.
//!
//! A rule whose host and path fit but whose method, conditions or guard do not hold is passed over for the next in that
//! order, also from an exact host to a wildcard and from a literal to a parameter. If none is left, the answer is
//! [`Outcome::NotFound`]; but it is [`Outcome::MethodNotAllowed`] if some rule's host and path fit and not one of those
//! takes the method. [`Router::consider`] tells which rules were asked, in that order, and why each was passed over.
//!
//! # How paths are compared
//!
//! Decoded: in literals of patterns and in paths of requests each percent-encoded character counts as itself if it may
//! stand for itself in a segment (RFC 3986 §3.3, `pchar`), so `/items/all%3Adelete` is `/items/all:delete`. What is
//! forwarded is the normal path, in which `%2B` and `%3B` stay as they came.
//!
//! A path with parameters (`/a;b=c/d`, also with `%3B`) is looked up twice: as it is, which is how most servers read it, and
//! without them (`/a/d`), as Tomcat and others do. If both find the same rule it takes the request. If not, the outcome is
//! [`Outcome::Ambiguous`]; but a rule whose own pattern has a `;` also takes it where no rule takes the other reading.
//!
//! # What is refused
//!
//! [`Router::compile`] refuses, all at once and each with a request that shows it,
//!
//! - two rules that take the same request while no point above tells them apart ([`Conflict::Tie`]), unless a third,
//!   more specific rule takes all such requests. Regular expressions are compared by their automata, so `\d+` and
//!   `[a-z]+` stand beside each other; where they are too large for that, the pair is refused ([`Conflict::Undecided`]).
//!   Two rules that are alike but for their guards tie as well, unless one guard [excludes](Guard::excludes) the other:
//!   the router cannot look into guards, and asks them;
//! - a rule all of whose requests are taken by more specific ones ([`Conflict::Unreachable`]), or whose conditions
//!   contradict each other ([`Conflict::Impossible`]). A rule with a regular expression or a guard is never held to
//!   shadow another, and one whose path is a regular expression is never held to be shadowed.
//!
//! # What it costs
//!
//! A lookup is one hash for the host (one more for each suffix, if there are wildcards), then one comparison or hash for
//! each segment of the path: the same with ten rules and with ten thousand. It goes back only where a literal and a
//! wildcard both fit, enters no node of the tree twice, and is bounded by the patterns, not by the request. Rules that
//! share host *and* path are tried one after the other, and so are regular expressions after the same segments. It
//! allocates nothing ([`Router::find`] names the two exceptions). Expressions are size-limited, anchored, and run in
//! time linear in the path.

mod condition;
mod conflict;
mod explain;
mod host;
mod lookup;
mod method;
mod params;
pub mod path;
mod pattern;
mod router;
mod rule;
mod tree;

pub use condition::{ValueMatch, ValueRegex};
pub use conflict::{Conflict, Elsewhere, OpenMethods, Witness};
pub use explain::{Considered, Miss};
pub use host::HostPattern;
pub use lookup::{Found, Lookup, Outcome};
pub use method::{Allow, MAX_EXTENSION_METHODS};
pub use params::{MAX_PARAMS, Params};
pub use path::{Ambiguity, Normalised, PathError, PathPolicy};
pub use pattern::{MAX_SEGMENTS, Pattern, PatternError};
pub use router::Router;
pub use rule::{Guard, Rule, RuleId};
