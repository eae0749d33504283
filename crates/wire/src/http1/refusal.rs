//! Why bytes are not a message: one closed list, with the status for the client, the label for a metric, and the text
//! for the operator.

use std::fmt;

/// One line for each reason: its documentation is what an operator reads.
macro_rules! refusals {
    ($($(#[doc = $doc:literal])+ $variant:ident = $status:literal $name:literal,)+) => {
        /// Why bytes are refused. After any of them the connection must be closed: where the next message would begin
        /// is no longer known. `Display` is for the operator and cites the RFC; the client gets [`Refusal::title`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Refusal {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Refusal {
            /// All of them, so that a metric can have every label from the start.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The status to answer a client with, before the connection is closed.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)+ }
            }

            /// The reason in one word: a metric's label.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            const fn text(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+),)+ }
            }
        }
    };
}

refusals! {
    /// the method is not a token of at most 32 characters (RFC 9110 §9.1)
    Method = 400 "method",
    /// CONNECT, which asks for a tunnel (RFC 9110 §9.3.6)
    Connect = 405 "connect",
    /// the request line is not method SP target SP version (RFC 9112 §3)
    RequestLine = 400 "request_line",
    /// the version of HTTP is neither 1.0 nor 1.1 (RFC 9112 §2.3)
    Version = 505 "version",
    /// the request target is longer than the listener allows (RFC 9110 §15.5.15)
    TargetTooLong = 414 "target_too_long",
    /// a byte in the request target may not stand there (RFC 3986 §3.3, §3.4)
    Target = 400 "target",
    /// a malformed percent-escape in the request target (RFC 3986 §2.1)
    TargetEscape = 400 "target_escape",
    /// the request target is neither a path, nor an http or https URI, nor OPTIONS with an asterisk (RFC 9112 §3.2)
    TargetForm = 400 "target_form",
    /// request line and fields are larger than the listener allows (RFC 6585 §5)
    HeadTooLarge = 431 "head_too_large",
    /// more fields than the listener allows (RFC 6585 §5)
    TooManyFields = 431 "too_many_fields",
    /// a line ends in a bare LF (RFC 9112 §2.2)
    BareLf = 400 "bare_lf",
    /// a CR that no LF follows (RFC 9112 §2.2)
    BareCr = 400 "bare_cr",
    /// NUL or another control character in a field value (RFC 9110 §5.5)
    Control = 400 "control",
    /// a line that is no field: it has no colon (RFC 9112 §5)
    FieldLine = 400 "field_line",
    /// a field name that is empty or no token (RFC 9110 §5.1)
    FieldName = 400 "field_name",
    /// white space between a field name and the colon (RFC 9112 §5.1)
    SpaceBeforeColon = 400 "space_before_colon",
    /// a line that begins with white space: obsolete folding (RFC 9112 §2.2, §5.2)
    Folding = 400 "folding",
    /// no Host (RFC 9112 §3.2)
    HostMissing = 400 "host_missing",
    /// more than one Host (RFC 9112 §3.2)
    HostDoubled = 400 "host_doubled",
    /// a Host, or an authority in the target, that is not host or host:port (RFC 9110 §7.2, RFC 3986 §3.2)
    Host = 400 "host",
    /// Host is not what the request target names (RFC 9112 §3.2)
    HostDiffers = 400 "host_differs",
    /// a Content-Length that is not one number of at most 19 digits (RFC 9112 §6.3)
    ContentLength = 400 "content_length",
    /// more than one Content-Length (RFC 9112 §6.3)
    ContentLengthDoubled = 400 "content_length_doubled",
    /// Content-Length together with Transfer-Encoding (RFC 9112 §6.1)
    LengthAndCoding = 400 "length_and_coding",
    /// a Transfer-Encoding other than chunked (RFC 9112 §6.1)
    TransferEncoding = 400 "transfer_encoding",
    /// more than one Transfer-Encoding (RFC 9112 §6.1, §7)
    TransferEncodingDoubled = 400 "transfer_encoding_doubled",
    /// Transfer-Encoding in a message of HTTP/1.0 (RFC 9112 §6.1)
    TransferEncodingOld = 400 "transfer_encoding_http10",
    /// a field that others may take for a framing field, such as one with `_` for `-` (RFC 9112 §11.2)
    LookAlike = 400 "look_alike",
    /// a Connection option that is no token, or too many of them (RFC 9110 §7.6.1)
    Connection = 400 "connection",
    /// Connection nominates a field that is not of the connection, such as Host (RFC 9110 §7.6.1)
    ConnectionNominates = 400 "connection_nominates",
    /// Upgrade without Connection: upgrade, or one that names no protocol (RFC 9110 §7.8)
    Upgrade = 400 "upgrade",
    /// Upgrade in a request with a body (RFC 9110 §7.8)
    UpgradeWithBody = 400 "upgrade_with_body",
    /// an Expect other than 100-continue (RFC 9110 §10.1.1)
    Expect = 417 "expect",
    /// a chunk size that is not 1 to 16 hexadecimal digits (RFC 9112 §7.1)
    ChunkSize = 400 "chunk_size",
    /// a malformed chunk extension (RFC 9112 §7.1.1)
    ChunkExtension = 400 "chunk_extension",
    /// the line before a chunk is longer than the listener allows (RFC 9112 §7.1.1)
    ChunkLineTooLong = 400 "chunk_line_too_long",
    /// more bytes of chunk extensions than any use has (RFC 9112 §7.1.1)
    ChunkExtensionsTooLong = 400 "chunk_extensions_too_long",
    /// a chunk that does not end where its size says (RFC 9112 §7.1)
    ChunkEnd = 400 "chunk_end",
    /// the trailers are larger than the listener allows (RFC 6585 §5)
    TrailersTooLarge = 431 "trailers_too_large",
    /// a trailer field that may not be one (RFC 9110 §6.5.1)
    Trailer = 400 "trailer",
}

impl Refusal {
    /// What may be told to the client: the status in words, and nothing of the reason.
    pub const fn title(self) -> &'static str {
        match self.status() {
            405 => "Method Not Allowed",
            414 => "URI Too Long",
            417 => "Expectation Failed",
            431 => "Request Header Fields Too Large",
            505 => "HTTP Version Not Supported",
            _ => "Bad Request",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().trim_start())
    }
}

impl std::error::Error for Refusal {}
