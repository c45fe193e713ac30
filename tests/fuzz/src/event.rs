//! No event makes the function panic when it is read or printed.
#![no_main]

use api_key_rotation::handler::event::Event;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Event::parse(text) {
        Ok(event) => assert!(!format!("{event:?}").is_empty()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
