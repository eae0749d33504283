//! Why bytes are no PROXY header: one closed list, with the label for a metric and the text for the operator.

use std::fmt;

/// Why bytes are no header that may be believed. The connection is to be closed without an answer (PROXY §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProxyError {
    /// Neither signature.
    Signature,
    /// Version 1: no CRLF within 107 bytes. Version 2: more than 2048 bytes after the fixed part.
    TooLong,
    /// Version 1: the line ends in a bare LF, or holds a bare CR.
    LineEnd,
    /// Version 1: not `PROXY`, protocol, two addresses, two ports, with one space between.
    Line,
    /// Version 1: an address that is not one of its protocol.
    Address,
    /// Version 1: a port that is not a plain decimal number up to 65535.
    Port,
    /// Version 2: another version.
    Version,
    /// Version 2: neither `LOCAL` nor `PROXY`.
    Command,
    /// Version 2: a family or a transport that no client of ours has (UNIX sockets, datagrams, unknown ones).
    Family,
    /// Version 2: too short for the addresses of its family.
    Truncated,
    /// Version 2: additions (TLVs) that do not end where the header ends.
    Tlv,
    /// Version 2: the checksum is wrong.
    Checksum,
}

impl ProxyError {
    /// All of them, so that a metric can have every label from the start.
    pub const ALL: &[Self] = &[
        Self::Signature,
        Self::TooLong,
        Self::LineEnd,
        Self::Line,
        Self::Address,
        Self::Port,
        Self::Version,
        Self::Command,
        Self::Family,
        Self::Truncated,
        Self::Tlv,
        Self::Checksum,
    ];

    /// The reason in one word: a metric's label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::TooLong => "too_long",
            Self::LineEnd => "line_end",
            Self::Line => "line",
            Self::Address => "address",
            Self::Port => "port",
            Self::Version => "version",
            Self::Command => "command",
            Self::Family => "family",
            Self::Truncated => "truncated",
            Self::Tlv => "tlv",
            Self::Checksum => "checksum",
        }
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signature => "no PROXY header at the beginning of the connection (PROXY §2)",
            Self::TooLong => "the PROXY header is longer than one can be (PROXY §2.1, §2.2)",
            Self::LineEnd => "the PROXY line does not end in CRLF (PROXY §2.1)",
            Self::Line => "the PROXY line does not have the parts it must have (PROXY §2.1)",
            Self::Address => "an address in the PROXY line is not one of its protocol (PROXY §2.1)",
            Self::Port => "a port in the PROXY line is no number up to 65535 (PROXY §2.1)",
            Self::Version => "the binary PROXY header is not of version 2 (PROXY §2.2)",
            Self::Command => "the command in the PROXY header is neither LOCAL nor PROXY (PROXY §2.2)",
            Self::Family => "the PROXY header speaks for something else than a TCP connection (PROXY §2.2)",
            Self::Truncated => "the PROXY header is too short for its addresses (PROXY §2.2)",
            Self::Tlv => "the additions in the PROXY header do not end where it ends (PROXY §2.2)",
            Self::Checksum => "the checksum of the PROXY header is wrong (PROXY §2.2.3)",
        })
    }
}

impl std::error::Error for ProxyError {}
