//! Any bytes for [`tollbook_fuzz::call`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tollbook_fuzz::call(data));
