//! Generated documents through both of our readers and `serde_json`: what the gate accepts is read
//! alike at every path, and it accepts all that the profile's words allow.

use tollbook_fuzz::{Tree, call, document};
use tollbook_policy::json::{ProfileLimits, parse};

const DOCUMENTS: u64 = 30_000;

#[test]
fn what_the_gate_accepts_is_read_alike_at_every_path() {
    let (mut accepted, mut paths) = (0, 0);
    for seed in 0..DOCUMENTS {
        let bytes = document(seed);
        call(&bytes);
        let read = String::from_utf8(bytes).ok();
        let read = read.and_then(|text| parse(text, &ProfileLimits::CALL).ok());
        if let Some(json) = read {
            accepted += 1;
            paths += leaves(&Tree::of_ours(json.root()));
        }
    }
    println!("{DOCUMENTS} documents, {accepted} accepted, {paths} paths read alike");
    let in_hundred = accepted * 100 / DOCUMENTS;
    assert!(
        (40..85).contains(&in_hundred),
        "{in_hundred} of a hundred are accepted"
    );
    assert!(paths > 2 * DOCUMENTS, "{paths}");
}

fn leaves(tree: &Tree) -> u64 {
    let below: u64 = match tree {
        Tree::Array(elements) => elements.iter().map(leaves).sum(),
        Tree::Object(members) => members.iter().map(|(_, member)| leaves(member)).sum(),
        Tree::Bool(_) | Tree::Null | Tree::Number(_) | Tree::Text(_) => 1,
    };
    below.max(1)
}
