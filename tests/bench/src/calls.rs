//! The calls of a rotation by service. This only shows them; a test compares them with the budget.

use std::collections::BTreeMap;
use std::path::Path;

use sandbox::Call;

use crate::env::{BenchEnv, Variant};
use crate::table::table;

const VARIANTS: [(Variant, &str); 3] = [
    (Variant::Ordinary, "ordinary"),
    (Variant::InheritedPlan, "inherited plan"),
    (Variant::NoProbe, "no probe"),
];

/// Returns the calls of a rotation in each variant, by service and operation.
pub(crate) async fn count(function: &Path) -> anyhow::Result<String> {
    // The service comes before its operations, with the sum.
    let mut counts: BTreeMap<(String, Option<String>), [u32; VARIANTS.len()]> = BTreeMap::new();
    for (column, (variant, _)) in VARIANTS.into_iter().enumerate() {
        for call in calls(function, variant).await? {
            let service = call.service.to_string();
            counts.entry((service.clone(), None)).or_default()[column] += 1;
            let operation = (service, Some(call.operation));
            counts.entry(operation).or_default()[column] += 1;
        }
    }
    let rows = counts.into_iter().map(|((service, operation), counts)| {
        let what = operation.map_or(service, |operation| format!("  {operation}"));
        let [a, b, c] = counts.map(|count| count.to_string());
        [what, a, b, c]
    });
    let [(_, a), (_, b), (_, c)] = VARIANTS;
    Ok(table(
        ["calls of a rotation", a, b, c],
        &rows.collect::<Vec<_>>(),
    ))
}

async fn calls(function: &Path, variant: Variant) -> anyhow::Result<Vec<Call>> {
    let env = BenchEnv::rotated(function, variant).await?;
    let _process = env.run(function)?;
    env.sandbox.clear_calls();
    env.rotate().await?;
    Ok(env.sandbox.calls())
}
