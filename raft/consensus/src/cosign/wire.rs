//! Cosigners' messages: `version u8 ‖ kind u8 ‖ body`, the body to the message's end. `FORMAT.md`
//! has the table; the transport proves who sends and that no bit has changed.

use bytes::{BufMut, Bytes, BytesMut};

use tollbook_audit::limits::NOTE_BYTES_MAX;

use super::Root;
use crate::limits::COSIGNATURE_BYTES_LIMIT;

const VERSION: u8 = 1;

const COSIGN: u8 = 1;
const KEEP: u8 = 2;

const BEHIND: u8 = 16;
const DIFFERS: u8 = 17;
const KEPT: u8 = 18;
const LATER: u8 = 19;
const PASSED: u8 = 20;
const REFUSED: u8 = 21;
const SIGNED: u8 = 22;
const STOPPED: u8 = 23;

/// Why a message cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WireError {
    #[error("not a cosigning message")]
    Malformed,
    #[error("a cosigning message of version {version}, this program knows {VERSION}")]
    Version { version: u8 },
}

/// What a node asks of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// Your cosignature, please, to the checkpoint of this note, which the log's key has signed.
    Cosign { note: String },
    /// Keep this note: a majority has cosigned it.
    Keep { note: String },
}

/// What it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// My book has not reached that size in time.
    Behind,
    /// My book has another root there, this one; I sign no more.
    Differs { root: Root },
    /// I have that note, or a newer one.
    Kept,
    /// I shall look at that note when my book reaches its size.
    Later,
    /// I have promised a larger size, or forgotten that one.
    Passed,
    /// Not a message, not a note of this log by its key, or not one that a majority cosigned.
    Refused,
    /// My cosignature line.
    Signed { line: String },
    /// I sign no more.
    Stopped,
}

impl Message {
    pub(super) fn encode(&self) -> Bytes {
        match self {
            Self::Cosign { note } => message(COSIGN, note.as_bytes()),
            Self::Keep { note } => message(KEEP, note.as_bytes()),
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let (kind, body) = open(bytes)?;
        let note = text(body, NOTE_BYTES_MAX)?;
        match kind {
            COSIGN => Ok(Self::Cosign { note }),
            KEEP => Ok(Self::Keep { note }),
            _ => Err(WireError::Malformed),
        }
    }
}

impl Answer {
    pub(super) fn encode(&self) -> Bytes {
        match self {
            Self::Behind => message(BEHIND, &[]),
            Self::Differs { root } => message(DIFFERS, root),
            Self::Kept => message(KEPT, &[]),
            Self::Later => message(LATER, &[]),
            Self::Passed => message(PASSED, &[]),
            Self::Refused => message(REFUSED, &[]),
            Self::Signed { line } => message(SIGNED, line.as_bytes()),
            Self::Stopped => message(STOPPED, &[]),
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let (kind, body) = open(bytes)?;
        let bare = |answer| match body {
            [] => Ok(answer),
            _ => Err(WireError::Malformed),
        };
        match kind {
            BEHIND => bare(Self::Behind),
            DIFFERS => {
                let root = body.try_into().map_err(|_| WireError::Malformed)?;
                Ok(Self::Differs { root })
            }
            KEPT => bare(Self::Kept),
            LATER => bare(Self::Later),
            PASSED => bare(Self::Passed),
            REFUSED => bare(Self::Refused),
            SIGNED => {
                let line = text(body, COSIGNATURE_BYTES_LIMIT)?;
                Ok(Self::Signed { line })
            }
            STOPPED => bare(Self::Stopped),
            _ => Err(WireError::Malformed),
        }
    }
}

fn message(kind: u8, body: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(2 + body.len());
    bytes.put_u8(VERSION);
    bytes.put_u8(kind);
    bytes.put_slice(body);
    bytes.freeze()
}

fn open(bytes: &[u8]) -> Result<(u8, &[u8]), WireError> {
    match bytes {
        [VERSION, kind, body @ ..] => Ok((*kind, body)),
        [version, _, ..] => Err(WireError::Version { version: *version }),
        _ => Err(WireError::Malformed),
    }
}

fn text(body: &[u8], bytes_max: usize) -> Result<String, WireError> {
    if body.len() > bytes_max {
        return Err(WireError::Malformed);
    }
    let text = str::from_utf8(body).map_err(|_| WireError::Malformed)?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each message in hex, in the order of `messages`, then `answers`.
    const GOLDEN: &str = include_str!("messages.hex");

    fn messages() -> Vec<Message> {
        let note = || "o\n1\nr\n\n— o c2ln\n".to_owned();
        vec![
            Message::Cosign { note: note() },
            Message::Keep { note: note() },
        ]
    }

    fn answers() -> Vec<Answer> {
        vec![
            Answer::Behind,
            Answer::Differs { root: [0xab; 32] },
            Answer::Kept,
            Answer::Later,
            Answer::Passed,
            Answer::Refused,
            Answer::Signed {
                line: "— o/n1 c2ln\n".to_owned(),
            },
            Answer::Stopped,
        ]
    }

    #[test]
    fn messages_have_their_golden_bytes() {
        let messages = messages();
        let answers = answers();
        let encoded = messages.iter().map(Message::encode);
        let encoded: Vec<Bytes> = encoded.chain(answers.iter().map(Answer::encode)).collect();
        let hex: Vec<String> = encoded
            .iter()
            .map(|bytes| tollbook_audit::hex(bytes))
            .collect();
        assert_eq!(hex, GOLDEN.lines().collect::<Vec<_>>());
        let (asked, answered) = encoded.split_at(messages.len());
        for (bytes, message) in asked.iter().zip(&messages) {
            assert_eq!(Message::decode(bytes).as_ref(), Ok(message));
            assert_eq!(Answer::decode(bytes), Err(WireError::Malformed));
        }
        for (bytes, answer) in answered.iter().zip(&answers) {
            assert_eq!(Answer::decode(bytes).as_ref(), Ok(answer));
            assert_eq!(Message::decode(bytes), Err(WireError::Malformed));
        }
    }

    #[test]
    fn other_versions_cut_bytes_and_bytes_left_over_are_refused() {
        for bytes in [&[][..], &[VERSION], &[9]] {
            assert_eq!(Message::decode(bytes), Err(WireError::Malformed));
            assert_eq!(Answer::decode(bytes), Err(WireError::Malformed));
        }
        let version = Err(WireError::Version { version: 2 });
        assert_eq!(Message::decode(&[2, COSIGN, b'x']), version);
        assert_eq!(Answer::decode(&[2, KEPT]).map(|_| ()), version.map(|_| ()));
        for kind in [BEHIND, KEPT, LATER, PASSED, REFUSED, STOPPED] {
            let long = Answer::decode(&[VERSION, kind, 0]);
            assert_eq!(long, Err(WireError::Malformed), "{kind}");
        }
        for length in [0, 31, 33] {
            let body = message(DIFFERS, &vec![1; length]);
            assert_eq!(Answer::decode(&body), Err(WireError::Malformed), "{length}");
        }
        assert_eq!(
            Message::decode(&[VERSION, KEEP, 0xff]),
            Err(WireError::Malformed)
        );
    }

    #[test]
    fn texts_are_read_up_to_their_bounds() {
        let at = message(KEEP, &vec![b'x'; NOTE_BYTES_MAX]);
        assert!(Message::decode(&at).is_ok());
        let over = message(KEEP, &vec![b'x'; NOTE_BYTES_MAX + 1]);
        assert_eq!(Message::decode(&over), Err(WireError::Malformed));
        let at = message(SIGNED, &vec![b'x'; COSIGNATURE_BYTES_LIMIT]);
        assert!(Answer::decode(&at).is_ok());
        let over = message(SIGNED, &vec![b'x'; COSIGNATURE_BYTES_LIMIT + 1]);
        assert_eq!(Answer::decode(&over), Err(WireError::Malformed));
    }

    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let body = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..80),
            ".{0,40}".prop_map(String::into_bytes),
        ];
        (0..4u8, 0..32u8, body).prop_map(|(version, kind, body)| {
            let mut bytes = vec![version, kind];
            bytes.extend(body);
            bytes
        })
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_what_is_read_has_one_spelling(
            bytes in prop_oneof![hostile(), proptest::collection::vec(any::<u8>(), 0..80)],
        ) {
            if let Ok(message) = Message::decode(&bytes) {
                prop_assert_eq!(&message.encode()[..], &bytes[..]);
            }
            if let Ok(answer) = Answer::decode(&bytes) {
                prop_assert_eq!(&answer.encode()[..], &bytes[..]);
            }
        }

        #[test]
        fn what_is_written_is_read_back(
            text in ".{0,80}",
            root in any::<[u8; 32]>(),
        ) {
            for message in [
                Message::Cosign { note: text.clone() },
                Message::Keep { note: text.clone() },
            ] {
                prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
            }
            for answer in [Answer::Differs { root }, Answer::Signed { line: text }] {
                prop_assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
            }
        }
    }
}
