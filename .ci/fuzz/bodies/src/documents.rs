//! Documents where readers of JSON are known to part: valid, nearly valid, hostile.

use crate::dice::Dice;

/// Numbers of all shapes; the last ones are none of JSON's.
const NUMBERS: [&str; 52] = [
    "0",
    "-0",
    "1",
    "-1",
    "10",
    "1.0",
    "1e0",
    "1E+2",
    "1e-2",
    "0.1",
    "0.30000000000000004",
    "-0.0",
    "0e0",
    "0e999",
    "0.0e-999",
    "1.5e3",
    "100.50",
    "1e15",
    "1e21",
    "123456789.123456789",
    "9007199254740991",
    "-9007199254740991",
    "9007199254740992",
    "9007199254740993",
    "9007199254740993.0",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "1e19",
    "1e22",
    "1e23",
    "1.7976931348623157e308",
    "1.7976931348623159e308",
    "1e309",
    "5e-324",
    "2e-324",
    "1e-400",
    "2.2250738585072011e-308",
    "1000.0000000000000001",
    "0.1000000000000000055511151231257827",
    "8.5e-323",
    "4.35",
    "0.000001",
    "01",
    "+1",
    "1.",
    ".5",
    "0x10",
    "NaN",
];

/// Pieces of strings, whole between the quotes; the last ones are none of JSON's.
const PIECES: [&[u8]; 40] = [
    b"a",
    b"b",
    b"amount",
    b"A",
    b"B",
    b" ",
    b"k",
    b"s",
    b"0",
    b"/",
    b"~",
    b".",
    b"\\u0061",
    b"\\u0041",
    b"\\n",
    b"\\\"",
    b"\\\\",
    b"\\/",
    b"\\b\\f\\r\\t",
    b"\\u00e9",
    b"\xc3\xa9",
    b"e\xcc\x81",
    b"\\ud83d\\ude00",
    b"\xf0\x9f\x98\x80",
    b"\\uD83D\\uDE00",
    b"\xe2\x80\xa8",
    b"\\u2028",
    b"\\u0000",
    b"\x7f",
    b"\xc2\x85",
    b"\xef\xbb\xbf",
    b"\xe2\x84\xaa",
    b"\xc5\xbf",
    b"\xef\xbf\xbf",
    b"\\ud800",
    b"\\udc00x",
    b"\\x41",
    b"\x01",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
];

/// Keys, written so that some are the same once read and some fold together.
const KEYS: [&[u8]; 24] = [
    b"a",
    b"b",
    b"c",
    b"d",
    b"amount",
    b"name",
    b"",
    b"a b",
    b"a.b",
    b"0",
    b"constructor",
    b"toString",
    b"\xc3\xa9",
    b"\xf0\x9f\x98\x80",
    b"\\ud83d\\ude01",
    b"\\u0062b",
    b"A",
    b"Amount",
    b"\xe2\x84\xaa",
    b"\\u0061",
    b"am\\u006funt",
    b"__proto__",
    b"k\\u0000",
    b"\\u005f_proto__",
];

/// How many of each list above, from its start, are clean.
const CLEAN_NUMBERS: usize = 30;
const CLEAN_PIECES: usize = 34;
const CLEAN_KEYS: usize = 19;

/// What does not belong where it is put.
const NOISE: [&[u8]; 14] = [
    b",",
    b"\x0b",
    b"\xc2\xa0",
    b"//\n",
    b"/**/",
    b"\0",
    b"]",
    b"}",
    b"'",
    b"\xef\xbb\xbf",
    b"null",
    b"tru",
    b"1",
    b"\"",
];

/// The document of a seed. Half of them are meant to be accepted.
pub fn document(seed: u64) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    let mut writer = Writer {
        faults: if dice.percent(50) { 0 } else { 15 },
        text: Vec::new(),
        dice,
    };
    if writer.fault() && writer.dice.percent(20) {
        writer.text.extend_from_slice(b"\xef\xbb\xbf");
    }
    let shells = match writer.dice.below(40) {
        0 => 55 + writer.dice.below(20),
        _ => 0,
    };
    let brackets: Vec<bool> = (0..shells).map(|_| writer.dice.percent(50)).collect();
    for object in &brackets {
        let open: &[u8] = if *object { b"{\"a\":" } else { b"[" };
        writer.text.extend_from_slice(open);
    }
    if writer.dice.percent(80) {
        writer.object(4);
    } else {
        writer.value(4);
    }
    for object in brackets.iter().rev() {
        writer.text.push(if *object { b'}' } else { b']' });
    }
    writer.space();
    if writer.fault() {
        writer.value(1);
    }
    writer.text
}

struct Writer {
    dice: Dice,
    /// In a hundred places.
    faults: usize,
    text: Vec<u8>,
}

impl Writer {
    fn fault(&mut self) -> bool {
        let faults = self.faults;
        self.dice.percent(faults)
    }

    /// One of a list, of its clean ones unless there is a fault here.
    fn one_of<'t>(&mut self, list: &[&'t [u8]], clean: usize) -> &'t [u8] {
        let end = if self.fault() { list.len() } else { clean };
        let list = list.get(..end).unwrap_or(list);
        self.dice.pick(list)
    }

    fn space(&mut self) {
        if self.dice.percent(10) {
            let space = self.dice.pick(&[&b" "[..], b"\n", b"\t", b"\r\n", b"  "]);
            self.text.extend_from_slice(space);
        }
        if self.fault() && self.dice.percent(20) {
            let noise = self.dice.pick(&NOISE);
            self.text.extend_from_slice(noise);
        }
    }

    fn value(&mut self, depth: usize) {
        self.space();
        match self.dice.below(if depth > 0 { 12 } else { 8 }) {
            0..3 => self.number(),
            3..6 => {
                self.text.push(b'"');
                for _ in 0..self.dice.below(4) {
                    let piece = self.one_of(&PIECES, CLEAN_PIECES);
                    self.text.extend_from_slice(piece);
                }
                self.text.push(b'"');
            }
            6 | 7 => {
                let word = self.dice.pick(&[&b"null"[..], b"true", b"false"]);
                self.text.extend_from_slice(word);
            }
            8 | 9 => {
                self.text.push(b'[');
                for index in 0..self.dice.below(5) {
                    self.text
                        .extend_from_slice(if index > 0 { b"," } else { b"" });
                    self.value(depth - 1);
                }
                self.space();
                self.text.push(b']');
            }
            _ => self.object(depth),
        }
        self.space();
    }

    fn object(&mut self, depth: usize) {
        self.text.push(b'{');
        let mut left: Vec<&[u8]> = KEYS.into();
        left.truncate(CLEAN_KEYS);
        self.dice.shuffle(&mut left);
        // Now and then more than the keys that are compared pair by pair.
        let most = if self.dice.percent(3) { 19 } else { 5 };
        for index in 0..self.dice.below(most) {
            self.text
                .extend_from_slice(if index > 0 { b"," } else { b"" });
            self.space();
            let fresh = left.pop().unwrap_or(b"z");
            let key = if self.fault() {
                self.dice.pick(&KEYS)
            } else {
                fresh
            };
            self.text.push(b'"');
            self.text.extend_from_slice(key);
            self.text.push(b'"');
            self.space();
            self.text.push(b':');
            self.value(if most > 5 { 0 } else { depth - 1 });
        }
        self.text.push(b'}');
    }

    /// A known one, or digits at random.
    fn number(&mut self) {
        if self.dice.percent(50) {
            let numbers = NUMBERS.map(str::as_bytes);
            let number = self.one_of(&numbers, CLEAN_NUMBERS);
            self.text.extend_from_slice(number);
            return;
        }
        let mut text = String::from(if self.dice.percent(30) { "-" } else { "" });
        let most = if self.fault() { 400 } else { 16 };
        let whole = 1 + self.dice.below(most);
        self.digits(&mut text, whole, true);
        if self.dice.percent(50) {
            text.push('.');
            let most = if self.dice.percent(80) { 6 } else { 25 };
            let part = 1 + self.dice.below(most);
            self.digits(&mut text, part, false);
        }
        if self.dice.percent(20) {
            text.push_str(self.dice.pick(&["e", "E", "e-", "e+", "E-"]));
            let most = if self.dice.percent(80) { 30 } else { 330 };
            let power = self.dice.below(most);
            text.push_str(&power.to_string());
        }
        self.text.extend_from_slice(text.as_bytes());
    }

    fn digits(&mut self, into: &mut String, count: usize, no_zero_first: bool) {
        for index in 0..count {
            let least = usize::from(index == 0 && count > 1 && no_zero_first);
            let digit = least + self.dice.below(10 - least);
            into.push_str(&digit.to_string());
        }
    }
}
