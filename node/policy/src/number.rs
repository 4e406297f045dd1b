//! Numbers as what they are: exact decimals, never a float.

use core::cmp::Ordering;

/// Largest integer that every server reads alike, 2^53−1.
pub(crate) const INTEGER_MAX: u64 = (1 << 53) - 1;

/// More significant digits than this are read differently by different servers.
const SIGNIFICANT_DIGITS: u32 = 17;

/// A number that every server reads alike: ±coefficient × 10^exponent, the coefficient not
/// divisible by ten. So equal numbers are equal field by field; zero is all zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    negative: bool,
    coefficient: u64,
    exponent: i64,
}

/// What a number's text comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Read alike everywhere.
    Exact(Decimal),
    /// An integer beyond ±(2^53−1), or more than 17 significant digits.
    Ambiguous,
}

impl Reading {
    /// Reads a number as JSON writes it.
    pub(crate) fn of(text: &str) -> Self {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, power) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, power)) => (mantissa, exponent(power)),
            None => (unsigned, 0),
        };
        let Some((coefficient, scale)) = coefficient(mantissa) else {
            return Self::Ambiguous;
        };
        if coefficient == 0 {
            return Self::Exact(Decimal {
                negative: false,
                coefficient: 0,
                exponent: 0,
            });
        }
        let number = Decimal {
            negative,
            coefficient,
            exponent: power.saturating_add(scale),
        };
        if number.exponent >= 0 && number.as_unsigned().is_none() {
            return Self::Ambiguous;
        }
        Self::Exact(number)
    }

    /// The number, unless servers differ over it.
    pub(crate) fn exact(self) -> Option<Decimal> {
        match self {
            Self::Exact(number) => Some(number),
            Self::Ambiguous => None,
        }
    }
}

/// Significant digits as one integer, and the power of ten that its last digit stands for. None
/// for more than [`SIGNIFICANT_DIGITS`].
fn coefficient(mantissa: &str) -> Option<(u64, i64)> {
    let mut coefficient = 0_u64;
    let mut digits = 0_u32;
    // Zeros that count only if another digit follows.
    let mut zeros = 0_u32;
    let mut scale = 0_i64;
    let mut after_point = false;
    for byte in mantissa.bytes() {
        if byte == b'.' {
            after_point = true;
            continue;
        }
        scale -= i64::from(after_point);
        if byte == b'0' {
            zeros += u32::from(digits > 0);
            continue;
        }
        digits = digits.saturating_add(zeros).saturating_add(1);
        if digits > SIGNIFICANT_DIGITS {
            return None;
        }
        coefficient = coefficient * 10_u64.pow(zeros + 1) + u64::from(byte.wrapping_sub(b'0'));
        zeros = 0;
    }
    Some((coefficient, scale + i64::from(zeros)))
}

/// An exponent's value; one too large for any number saturates.
fn exponent(text: &str) -> i64 {
    let digits = text.trim_start_matches(['+', '-']).trim_start_matches('0');
    let size = match digits.len() {
        0 => 0,
        // Beyond any exponent that a document has room to balance with digits.
        18.. => i64::MAX / 2,
        _ => digits.parse().unwrap_or(i64::MAX / 2),
    };
    if text.starts_with('-') { -size } else { size }
}

impl Decimal {
    /// The value as a whole number from 0 to 2^53−1, if it is one.
    pub(crate) fn as_whole(self) -> Option<u64> {
        if self.negative {
            None
        } else {
            self.as_unsigned()
        }
    }

    /// The size as a whole number up to 2^53−1, if it is one.
    fn as_unsigned(self) -> Option<u64> {
        let power = u32::try_from(self.exponent).ok()?;
        let whole = self.coefficient.checked_mul(10_u64.checked_pow(power)?)?;
        (whole <= INTEGER_MAX).then_some(whole)
    }

    /// Sign, coefficient and exponent: equal exactly for equal numbers.
    pub(crate) fn parts(self) -> (bool, u64, i64) {
        (self.negative, self.coefficient, self.exponent)
    }

    fn compare_size(self, other: Self) -> Ordering {
        match (self.coefficient, other.coefficient) {
            (0, 0) => return Ordering::Equal,
            (0, _) => return Ordering::Less,
            (_, 0) => return Ordering::Greater,
            (_, _) => {}
        }
        let (own, others) = (self.coefficient.ilog10(), other.coefficient.ilog10());
        let magnitude = self.exponent.saturating_add(i64::from(own));
        let others_magnitude = other.exponent.saturating_add(i64::from(others));
        magnitude.cmp(&others_magnitude).then_with(|| {
            // At most 17 digits each, so that both fit once they have as many.
            let digits = own.max(others);
            let widened = self.coefficient * 10_u64.pow(digits - own);
            widened.cmp(&(other.coefficient * 10_u64.pow(digits - others)))
        })
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.compare_size(*other),
            (true, true) => other.compare_size(*self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(text: &str) -> Decimal {
        Reading::of(text).exact().expect("read alike everywhere")
    }

    #[test]
    fn one_value_however_written_is_equal() {
        for alike in [
            &[
                "1",
                "1.0",
                "1e0",
                "10e-1",
                "0.1e1",
                "1.000000000000000000000",
                "1E+0",
            ][..],
            &[
                "0",
                "-0",
                "0.0",
                "0e9",
                "-0.000e-7",
                "0e99999999999999999999",
            ][..],
            &["100", "1e2", "1E+2", "1000e-1", "100.00"][..],
            &["-0.25", "-25e-2", "-2.5E-1", "-0.25000"][..],
            &[
                "9007199254740991",
                "9007199254740991.0",
                "900719925474099.1e1",
            ][..],
        ] {
            for text in alike {
                assert_eq!(exact(text), exact(alike[0]), "{text}");
            }
        }
    }

    #[test]
    fn numbers_are_in_their_true_order() {
        let ascending = [
            "-9007199254740991",
            "-1e15",
            "-100.01",
            "-100",
            "-99.999999999999999",
            "-1",
            "-0.1",
            "-1e-300",
            "0",
            "1e-300",
            "1e-3",
            "0.00101",
            "0.1",
            "1",
            "1.0000000000000001",
            "1.5",
            "9",
            "10",
            "10.5",
            "99.99",
            "100",
            "100.01",
            "1000",
            "1e15",
            "9007199254740991",
        ];
        for (index, low) in ascending.iter().enumerate() {
            assert_eq!(exact(low).cmp(&exact(low)), Ordering::Equal);
            for high in &ascending[index + 1..] {
                assert_eq!(exact(low).cmp(&exact(high)), Ordering::Less, "{low} {high}");
                assert_eq!(
                    exact(high).cmp(&exact(low)),
                    Ordering::Greater,
                    "{low} {high}"
                );
            }
        }
    }

    #[test]
    fn what_servers_read_differently_is_ambiguous() {
        for text in [
            "9007199254740992",
            "-9007199254740992",
            "9007199254740992.0",
            "9007199254740993",
            "9.007199254740993e15",
            "1e16",
            "1e300",
            "-1e16",
            "18446744073709551615",
            "1.00000000000000001",
            "0.123456789012345678",
            "100000000000000000.1",
            "123456789012345678e-5",
        ] {
            assert_eq!(Reading::of(text), Reading::Ambiguous, "{text}");
        }
        for text in [
            "0.12345678901234567",
            "1e15",
            "1234567890123456.7",
            "1e-320",
            "12.50",
        ] {
            assert!(Reading::of(text).exact().is_some(), "{text}");
        }
    }

    #[test]
    fn only_whole_numbers_from_zero_are_whole() {
        for (text, whole) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("1.0", Some(1)),
            ("2e3", Some(2000)),
            ("0.5", None),
            ("-1", None),
            ("1e-1", None),
            ("9007199254740991", Some(INTEGER_MAX)),
        ] {
            assert_eq!(exact(text).as_whole(), whole, "{text}");
        }
    }
}
