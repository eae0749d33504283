//! Portreeve, a plugin-based API gateway on Pingora: the library of the binary, and of a gateway of your own.
//!
//! A custom gateway is a `main` of five lines with the whole command line:
//!
//! ```no_run
//! # use portreeve_plugin::prelude::*;
//! # struct Mine;
//! # #[async_trait] impl Plugin for Mine {}
//! # #[derive(Deserialize, JsonSchema)] struct NoSettings {}
//! # impl Build for Mine {
//! #     const NAME: &'static str = "mine";
//! #     type Config = NoSettings;
//! #     fn build(_: NoSettings, _: &Host) -> Result<Self, BuildError> { Ok(Self) }
//! # }
//! use portreeve::Gateway;
//!
//! fn main() -> std::process::ExitCode {
//!     Gateway::new().with_builtin_plugins().with_plugin::<Mine>().main()
//! }
//! ```

mod admin;
mod allocator;
mod builtin;
mod changes;
mod commands;
mod demo;
mod descriptors;
mod gateway;
mod handover;
mod load;
mod logging;
mod read;
mod reload;
mod run;

pub use allocator::Allocator;
pub use gateway::Gateway;
pub use run::{Options, RunError, Running};
