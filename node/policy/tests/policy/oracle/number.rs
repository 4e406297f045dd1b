//! Numbers as strings of digits.

use std::cmp::Ordering;

use tollbook_fuzz::Tree;

/// Digits that neither begin nor end with a zero, and the power of ten of the last one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    digits: String,
    power: i64,
}

impl Decimal {
    /// A number that is not ambiguous.
    pub(super) fn exact(value: &Tree) -> Option<Self> {
        let Tree::Number(text) = value else {
            return None;
        };
        let number = Self::of(text);
        let integer_too_large = number.power >= 0
            && number
                .integer()
                .is_none_or(|integer| integer > 9_007_199_254_740_991);
        (number.digits.len() <= 17 && !integer_too_large).then_some(number)
    }

    fn of(text: &str) -> Self {
        let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let power: i64 = power.parse().expect("a small power");
        let digits = format!("{}{part}", whole.trim_start_matches('-'));
        let power = power - i64::try_from(part.len()).expect("few digits");
        let kept = digits.trim_end_matches('0');
        let zeros = i64::try_from(digits.len() - kept.len()).expect("few digits");
        let kept = kept.trim_start_matches('0');
        let is_zero = kept.is_empty();
        Self {
            negative: text.starts_with('-') && !is_zero,
            digits: kept.to_owned(),
            power: if is_zero { 0 } else { power + zeros },
        }
    }

    fn integer(&self) -> Option<u64> {
        let zeros = usize::try_from(self.power)
            .ok()
            .filter(|zeros| *zeros < 20)?;
        format!("0{}{}", self.digits, "0".repeat(zeros))
            .parse()
            .ok()
    }

    /// What can be charged.
    pub(super) fn whole(&self) -> Option<u64> {
        self.integer().filter(|_| !self.negative)
    }

    /// Negative, zero, positive.
    fn sign(&self) -> i8 {
        match (self.negative, self.digits.is_empty()) {
            (_, true) => 0,
            (true, false) => -1,
            (false, false) => 1,
        }
    }

    fn size(&self, other: &Self) -> Ordering {
        let places =
            |number: &Self| i64::try_from(number.digits.len()).expect("few") + number.power;
        let padded = |number: &Self| format!("{:0<40}", number.digits);
        places(self)
            .cmp(&places(other))
            .then_with(|| padded(self).cmp(&padded(other)))
    }

    pub(super) fn cmp(&self, other: &Self) -> Ordering {
        self.sign()
            .cmp(&other.sign())
            .then_with(|| match self.sign() {
                0 => Ordering::Equal,
                1 => self.size(other),
                _ => other.size(self),
            })
    }
}
