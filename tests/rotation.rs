//! Whole rotations by the real binary.

mod support;

use support::{SECRET, Setup};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_without_a_value_gets_its_first_key_and_then_its_second() {
    let world = Setup::default().start().await;
    world.rotate().await;
    world.assert_agreement().await;
    let first = world.current_key();

    world.rotate().await;
    world.assert_agreement().await;
    assert_ne!(world.current_key(), first);
    assert_eq!(world.key_in("AWSPREVIOUS"), Some(first.clone()));

    let replaced = world
        .sandbox
        .key_with_value(&first)
        .expect("a replaced key stays");
    let current = world
        .sandbox
        .secret(SECRET)
        .current()
        .expect("there is one")
        .id
        .clone();
    assert!(replaced.enabled);
    assert!(
        replaced.description.starts_with("Superseded at "),
        "{}",
        replaced.description
    );
    assert!(
        replaced
            .description
            .ends_with(&format!(" by version {current}.")),
        "{}",
        replaced.description
    );
    assert_eq!(
        world.gateway_answer(&first).await,
        200,
        "the replaced key works on: that is the overlap"
    );
}
