//! What is prepared so that a pick is a matter of nanoseconds, however many members there are.

mod alias;
mod bits;
mod sequence;
mod slots;

pub(crate) use alias::Alias;
pub(crate) use bits::Bits;
pub(crate) use sequence::interleave;
pub(crate) use slots::Slots;
