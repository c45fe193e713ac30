//! A description of a key that is read is written the same, so that it contains nothing else.
#![no_main]

use std::time::{Duration, SystemTime};

use api_key_rotation::adapters::description::DescriptionText;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // After every time with a four-digit year, so that no time counts as the future.
    let end_of_time = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_800);
    match DescriptionText::parse(text, end_of_time) {
        DescriptionText::InUse(read) => assert_eq!(read.to_string(), text),
        // An id outside the alphabet is written as its hash; everything else is the same.
        DescriptionText::Superseded(read) => {
            let written = read.to_string();
            let words = |text: &str| text.split(' ').count();
            assert_eq!(words(&written), words(text));
        }
        DescriptionText::Ahead(_) => panic!("nothing is after the end of time"),
        DescriptionText::Other => {}
    }
});
