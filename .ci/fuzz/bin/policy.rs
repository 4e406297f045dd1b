//! Any bytes for [`tollbook_fuzz::policy`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tollbook_fuzz::policy(data));
