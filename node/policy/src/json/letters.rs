//! What letters stand in a string, eight bytes at a time.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x80 * ONES;
const SPACES: u64 = 0x20 * ONES;
const QUOTES: u64 = b'"' as u64 * ONES;
const BACKSLASHES: u64 = b'\\' as u64 * ONES;

/// Letters that were met, each as the high bit of any byte.
#[derive(Clone, Copy)]
pub(super) struct Letters {
    special: u64,
    control: u64,
    beyond: u64,
}

/// How many plain bytes `text` begins with: printable ASCII that needs no escape.
#[inline(always)]
pub(super) fn count_plain(text: &[u8]) -> u32 {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    count_until(text, odd, is_plain)
}

/// How many bytes `text` begins with that a string may have as they are.
#[inline(always)]
pub(super) fn count_unescaped(text: &[u8]) -> u32 {
    let is_unescaped = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    count_until(text, special_or_control, is_unescaped)
}

/// By whole words as long as there are some: `odd` has the high bit of the first byte that does
/// not belong, and none below it.
#[inline(always)]
fn count_until(text: &[u8], odd: impl Fn(u64) -> u64, belongs: impl Fn(u8) -> bool) -> u32 {
    let mut rest = text;
    let mut count = 0;
    while let Some((word, after)) = rest.split_first_chunk() {
        let odd = odd(u64::from_le_bytes(*word)) & HIGH_BITS;
        if odd != 0 {
            return count + odd.trailing_zeros() / 8;
        }
        count += 8;
        rest = after;
    }
    for byte in rest {
        if !belongs(*byte) {
            break;
        }
        count += 1;
    }
    count
}

/// A number that is the same for the same first `len` bytes of `text`: those of two marks differ.
/// None if `text` does not go that far.
#[inline(always)]
pub(super) fn mark(text: &[u8], len: usize) -> Option<u64> {
    if len < 8 {
        return short_word(text, len);
    }
    let text = text.get(..len)?;
    Some(first_word(text)? ^ last_word(text)?.rotate_left(23))
}

/// Has a high bit where any byte is not plain: above the lowest such byte, bits may be wrong.
#[inline(always)]
fn odd(word: u64) -> u64 {
    let is_control = word.wrapping_sub(SPACES);
    let is_beyond = word | word.wrapping_add(ONES);
    let is_quote = (word ^ QUOTES).wrapping_sub(ONES);
    let is_backslash = (word ^ BACKSLASHES).wrapping_sub(ONES);
    is_control | is_beyond | is_quote | is_backslash
}

/// Has a high bit where any byte is a quote, a backslash or below U+0020, as [`odd`] does.
#[inline(always)]
fn special_or_control(word: u64) -> u64 {
    let is_zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let is_control = word.wrapping_sub(SPACES) & !word;
    is_control | is_zero(word ^ QUOTES) | is_zero(word ^ BACKSLASHES)
}

impl Letters {
    /// Those of a text.
    pub(super) fn of(text: &[u8]) -> Self {
        let mut letters = Self {
            special: 0,
            control: 0,
            beyond: 0,
        };
        let (words, rest) = text.as_chunks();
        for word in words {
            letters.add(u64::from_le_bytes(*word));
        }
        let rest = rest
            .iter()
            .fold(SPACES, |word, byte| word << 8 | u64::from(*byte));
        letters.add(rest);
        letters
    }

    /// A borrow or carry goes from a byte that counts to the one above it, so a byte may count
    /// that should not, but only where another does: whether any counts is exact.
    fn add(&mut self, word: u64) {
        let is_zero = |word: u64| word.wrapping_sub(ONES) & !word;
        self.special |= is_zero(word ^ QUOTES) | is_zero(word ^ BACKSLASHES);
        self.control |= word.wrapping_sub(SPACES) & !word;
        self.beyond |= word | word.wrapping_add(ONES);
    }

    /// Quotes or backslashes.
    #[inline(always)]
    pub(super) fn has_special(self) -> bool {
        self.special & HIGH_BITS != 0
    }

    /// Below U+0020.
    #[inline(always)]
    pub(super) fn has_control(self) -> bool {
        self.control & HIGH_BITS != 0
    }

    /// DEL, or what is not ASCII.
    #[inline(always)]
    pub(super) fn has_beyond(self) -> bool {
        self.beyond & HIGH_BITS != 0
    }
}

#[inline(always)]
fn first_word(text: &[u8]) -> Option<u64> {
    text.first_chunk().copied().map(u64::from_le_bytes)
}

#[inline(always)]
fn last_word(text: &[u8]) -> Option<u64> {
    text.last_chunk().copied().map(u64::from_le_bytes)
}

/// Fewer than eight bytes, and spaces before them.
#[inline(always)]
fn short_word(text: &[u8], len: usize) -> Option<u64> {
    if len == 0 {
        return Some(SPACES);
    }
    let bits = 8 * len;
    let fill = SPACES >> bits;
    if let Some(word) = first_word(text) {
        return Some(word << (64 - bits) | fill);
    }
    let bytes = text.get(..len)?.iter().rev();
    let word = bytes.fold(0, |word: u64, byte| word << 8 | u64::from(*byte));
    Some(word << (64 - bits) | fill)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn one_byte_of_each_value_is_seen_at_each_place_of_each_length() {
        for byte in 0..=u8::MAX {
            for (len, at) in (1..40).flat_map(|len| (0..len).map(move |at| (len, at))) {
                let mut text: Vec<u8> = Vec::from([b'x'; 40]);
                text.truncate(len);
                text[at] = byte;
                let letters = Letters::of(&text);
                assert_eq!(letters.has_special(), matches!(byte, b'"' | b'\\'));
                assert_eq!(letters.has_control(), byte < 0x20);
                assert_eq!(letters.has_beyond(), byte >= 0x7f);
                let any = letters.has_special() || letters.has_control();
                let count = |stops| u32::try_from(if stops { at } else { len }).unwrap();
                assert_eq!(count_unescaped(&text), count(any), "{byte} {len} {at}");
                let odd = any || letters.has_beyond();
                assert_eq!(count_plain(&text), count(odd), "{byte} {len} {at}");
                // What follows the first one is of no account.
                text[at + 1..].fill(b'"');
                let next = (at + 1).min(len);
                let count = |stops| u32::try_from(if stops { at } else { next }).unwrap();
                assert_eq!(count_unescaped(&text), count(any), "{byte} {len} {at}");
                assert_eq!(count_plain(&text), count(odd), "{byte} {len} {at}");
            }
        }
    }

    #[test]
    fn a_mark_goes_by_the_text_and_not_by_what_follows() {
        for len in 0..25 {
            let text = &b"abcdefghijklmnopqrstuvwxyz"[..len];
            let alone = mark(text, len);
            assert!(alone.is_some());
            for behind in [&b"\""[..], b"\":1}", b"\":\"something longer\"}"] {
                let text = [text, behind].concat();
                assert_eq!(mark(&text, len), alone);
                assert_ne!(mark(&text, len + 1), alone);
            }
        }
    }
}
