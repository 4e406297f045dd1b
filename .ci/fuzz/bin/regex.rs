//! Any bytes for [`tollbook_fuzz::regex`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tollbook_fuzz::regex(data));
