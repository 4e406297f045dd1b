//! Why a stream or a connection ends: a number on the wire, a sentence for people.

use quinn::{ConnectionError, ReadError, VarInt, WriteError};

use super::limits::REASON_CHARS_LIMIT;

/// What one end tells the other. Numbers are never given a second meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    /// All that was to be said is said.
    Done,
    /// The node stops.
    Closing,
    /// A peer without a certificate.
    NoCertificate,
    /// A certificate that names no node of this cluster.
    ForeignCertificate,
    /// The certificate has expired since, or its authority is no longer trusted.
    LapsedCertificate,
    /// A certificate where none belongs, or a protocol that does not fit.
    WrongProtocol,
    /// A limit is reached.
    Busy,
    /// A younger connection of the same node took this one's place.
    Replaced,
    /// Nothing was heard when an answer was due.
    Silent,
    /// A message above the limit of its urgency.
    TooLong,
    /// Bytes that are no stream of ours.
    Malformed,
    /// Whoever reads or writes here has gone.
    Gone,
}

impl Code {
    const ALL: [Self; 12] = [
        Self::Done,
        Self::Closing,
        Self::NoCertificate,
        Self::ForeignCertificate,
        Self::LapsedCertificate,
        Self::WrongProtocol,
        Self::Busy,
        Self::Replaced,
        Self::Silent,
        Self::TooLong,
        Self::Malformed,
        Self::Gone,
    ];

    pub(super) const fn wire(self) -> VarInt {
        VarInt::from_u32(match self {
            Self::Done => 0,
            Self::Closing => 1,
            Self::NoCertificate => 2,
            Self::ForeignCertificate => 3,
            Self::LapsedCertificate => 4,
            Self::WrongProtocol => 5,
            Self::Busy => 6,
            Self::Replaced => 7,
            Self::Silent => 8,
            Self::TooLong => 9,
            Self::Malformed => 10,
            Self::Gone => 11,
        })
    }

    fn read(wire: VarInt) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.wire() == wire)
    }

    /// Whether who says this of a stream has handed its message to nobody.
    fn undelivered(self) -> bool {
        match self {
            Self::Busy | Self::TooLong | Self::Malformed => true,
            Self::Done
            | Self::Closing
            | Self::NoCertificate
            | Self::ForeignCertificate
            | Self::LapsedCertificate
            | Self::WrongProtocol
            | Self::Replaced
            | Self::Silent
            | Self::Gone => false,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Done => "it has ended the connection",
            Self::Closing => "it is stopping",
            Self::NoCertificate => "it wants a certificate and was shown none",
            Self::ForeignCertificate => "it says that our certificate names no node of its cluster",
            Self::LapsedCertificate => {
                "it says that our certificate has expired or that its authority is not trusted"
            }
            Self::WrongProtocol => "it says that we speak the wrong protocol",
            Self::Busy => "it has reached a limit",
            Self::Replaced => "it has a younger connection of ours",
            Self::Silent => "it did not hear from us",
            Self::TooLong => "the message is longer than it takes",
            Self::Malformed => "it cannot read what we sent",
            Self::Gone => "it has ended the stream",
        }
    }
}

/// The end of a stream that somebody waited on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    /// That the peer has handed the message to nobody, as far as it says so.
    pub(super) undelivered: bool,
    pub(super) reason: String,
}

impl Lost {
    pub(super) fn new(reason: &str) -> Self {
        Self {
            undelivered: false,
            reason: reason.to_owned(),
        }
    }

    fn code(code: VarInt) -> Self {
        let known = Code::read(code);
        Self {
            undelivered: known.is_some_and(Code::undelivered),
            reason: known.map_or_else(|| unknown(code), |code| code.text().to_owned()),
        }
    }
}

impl From<ConnectionError> for Lost {
    fn from(error: ConnectionError) -> Self {
        Self::new(&reason(&error))
    }
}

impl From<ReadError> for Lost {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Reset(code) => Self::code(code),
            ReadError::ConnectionLost(error) => error.into(),
            ReadError::ClosedStream
            | ReadError::IllegalOrderedRead
            | ReadError::ZeroRttRejected => Self::new("the stream has ended"),
        }
    }
}

impl From<WriteError> for Lost {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Stopped(code) => Self::code(code),
            WriteError::ConnectionLost(error) => error.into(),
            WriteError::ClosedStream | WriteError::ZeroRttRejected => {
                Self::new("the stream has ended")
            }
        }
    }
}

/// Why a connection ended or did not come to be, told from here. Of what the peer sends, numbers
/// alone are shown: its words could be anybody's.
pub(super) fn reason(error: &ConnectionError) -> String {
    match error {
        ConnectionError::VersionMismatch => "it speaks another version of QUIC".to_owned(),
        ConnectionError::TransportError(error) => {
            let ours: String = error.reason.chars().take(REASON_CHARS_LIMIT).collect();
            match alert(error.code.into()) {
                Some(_) => format!("its certificate or handshake is refused here: {ours}"),
                None => format!("it breaks the protocol: {ours}"),
            }
        }
        ConnectionError::ConnectionClosed(close) => match alert(close.error_code.into()) {
            Some(alert) => refused(alert),
            None => format!("its QUIC ended the connection: {}", close.error_code),
        },
        ConnectionError::ApplicationClosed(close) => Code::read(close.error_code)
            .map_or_else(|| unknown(close.error_code), |code| code.text().to_owned()),
        ConnectionError::Reset => "it has restarted since".to_owned(),
        ConnectionError::TimedOut => "nothing is heard from it".to_owned(),
        ConnectionError::LocallyClosed => "this node has ended the connection".to_owned(),
        ConnectionError::CidsExhausted => "no connection ids are left".to_owned(),
    }
}

fn unknown(code: VarInt) -> String {
    format!("it gives reason number {code}, which is not known here")
}

/// The TLS alert in a QUIC error code, if it is one of the handshake's.
fn alert(code: u64) -> Option<u8> {
    u8::try_from(code.checked_sub(0x100)?).ok()
}

/// Alerts by their numbers in RFC 8446.
fn refused(alert: u8) -> String {
    let why = match alert {
        42 => "it is not one to trust",
        45 => "it has expired",
        48 => "its authority is not trusted there",
        116 => "none was shown",
        120 => return "it does not speak this protocol".to_owned(),
        _ => return format!("it refuses the handshake: TLS alert {alert}"),
    };
    format!("it refuses our certificate: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_as_they_were_written() {
        for (at, code) in (0_u32..).zip(Code::ALL) {
            assert_eq!(code.wire(), VarInt::from_u32(at));
            assert_eq!(Code::read(code.wire()), Some(code));
        }
        assert_eq!(Code::read(VarInt::from_u32(12)), None);
    }

    #[test]
    fn alerts_are_told_from_other_errors() {
        assert_eq!(alert(0x100 + 45), Some(45));
        assert_eq!(alert(0xff), None);
        assert_eq!(alert(0x200), None);
    }
}
