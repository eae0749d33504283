//! A gateway before it runs: the plugins it knows. Registration is explicit; nothing happens before `main`.

use std::ffi::OsString;
use std::process::ExitCode;

use portreeve_plugin::{Build, Registry};

use crate::{builtin, commands};

/// A gateway with the plugins it knows.
#[derive(Debug, Clone, Default)]
#[must_use = "a gateway does nothing until its `main` is called"]
pub struct Gateway {
    registry: Registry,
}

impl Gateway {
    /// Knows no plugins yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the plugins that come with Portreeve.
    pub fn with_builtin_plugins(mut self) -> Self {
        self.registry = builtin::plugins(self.registry);
        self
    }

    /// Adds a plugin. One of the same name as an earlier one takes its place.
    pub fn with_plugin<P: Build>(mut self) -> Self {
        self.registry = self.registry.with::<P>();
        self
    }

    /// The plugins it knows.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The whole command line, with the arguments of this process. Returns the exit status: 0 fine, 1 failed while
    /// running, 2 the configuration or the command line is wrong.
    pub fn main(self) -> ExitCode {
        self.main_from(std::env::args_os())
    }

    /// As [`Gateway::main`] with other arguments, the first of which is the name of the program.
    pub fn main_from<A: Into<OsString> + Clone>(self, arguments: impl IntoIterator<Item = A>) -> ExitCode {
        commands::main(&self.registry, arguments)
    }
}
