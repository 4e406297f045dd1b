//! Keys that a careless server could take for one another.

use alloc::string::String;

use caseless::Caseless as _;
use unicode_normalization::UnicodeNormalization as _;

use crate::json::Value;

/// A key as careless servers see it: NFKC, then full Unicode case folding.
pub fn folded(key: &str) -> String {
    key.chars().nfkc().default_case_fold().collect()
}

/// Whether the key `key` folds to `folded`, which [`folded`] made.
pub fn folds_to(key: Value<'_>, folded: &str) -> bool {
    if key.is_simple() {
        // ASCII folds to its own lower case: no need to ask the tables of Unicode.
        return key.span().len() == folded.len() + 2
            && key
                .as_plain_str()
                .is_some_and(|plain| plain.eq_ignore_ascii_case(folded));
    }
    key.chars()
        .is_some_and(|chars| chars.nfkc().default_case_fold().eq(folded.chars()))
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;
    use crate::json::{ProfileLimits, parse};

    fn key_folds(key: &str, wanted: &str) -> bool {
        let text = format!("\"{key}\"");
        let json = parse(text, &ProfileLimits::CALL).expect("a string");
        folds_to(json.root(), &folded(wanted))
    }

    #[test]
    fn keys_that_fold_together_are_told_from_those_that_do_not() {
        for (key, wanted) in [
            ("Amount", "amount"),
            ("AMOUNT", "amount"),
            ("\u{ff21}mount", "amount"),
            ("amount", "\u{ff21}mount"),
            ("\\u0041mount", "amount"),
            ("STRASSE", "straße"),
            ("straße", "strasse"),
            ("\u{212a}ey", "key"),
            ("pa\u{17f}s", "pass"),
            ("e\u{301}tat", "état"),
            ("Σ", "ς"),
            ("\u{fb01}le", "FILE"),
        ] {
            assert!(key_folds(key, wanted), "{key} {wanted}");
        }
        for (key, wanted) in [
            ("amount ", "amount"),
            ("amounts", "amount"),
            ("amoun", "amount"),
            ("etat", "état"),
            ("\u{430}mount", "amount"),
            ("amount\u{200b}", "amount"),
            ("", "amount"),
        ] {
            assert!(!key_folds(key, wanted), "{key} {wanted}");
        }
    }
}
