//! Panic fences: a plugin that panics fails its request, never the process.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::error::{Cause, Result};

/// Runs a synchronous hook.
pub(super) fn call<T>(hook: impl FnOnce() -> Result<T>) -> Result<T, Cause> {
    // The contexts are only set, never torn: a setter that panicked half-way cannot be observed as unsound, at worst as unset.
    match catch_unwind(AssertUnwindSafe(hook)) {
        Ok(outcome) => outcome.map_err(Cause::from),
        Err(panic) => Err(Cause::Panic(message(&*panic))),
    }
}

/// Runs an asynchronous hook. Making the future is part of the hook: one written without `async` may panic right there.
pub(super) async fn wait<'h, T>(hook: impl FnOnce() -> BoxFuture<'h, Result<T>>) -> Result<T, Cause> {
    match AssertUnwindSafe(async { hook().await }).catch_unwind().await {
        Ok(outcome) => outcome.map_err(Cause::from),
        Err(panic) => Err(Cause::Panic(message(&*panic))),
    }
}

/// What a panic said, if it said a text.
pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
